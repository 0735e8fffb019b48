// Sums over the neighbours of pixels as products of bands (strip.h) with packed weights.
#pragma once

#include "../cpu/buffer.h"
#include "../cpu/pieces.h"
#include "conv3x3_weights.h"
#include "operands.h"
#include "strip.h"

namespace imagen_fast::cpu {

constexpr int kSumsPixels = 64;  // whose sums are computed at once

// On a matrix unit vectors are computed beside products: beside() runs as often as there are some.
template <class S, class Beside>
IMAGEN_INLINE void gemm_beside(const Rows<S>& a, const Panels<S>& b, const float* bias, float* c,
                               std::ptrdiff_t c_row, const Beside&) {
    gemm(a, b, bias, c, c_row);
}

// Products of bands, kSumsPixels at a time, and what is done with them, beside the next ones:
// finish(line, x, sums) for each pixel, its row counted through all images. sums: room for
// twice as many.
template <class S, class Finish>
class BandProducts {
public:
    IMAGEN_INLINE BandProducts(const Strip<S>& strip, const Panels<S>& weights, const float* bias,
                               float* sums, const Finish& finish)
        : strip_(strip),
          weights_(weights),
          bias_(bias),
          row_(weights.width()),
          sums_(sums),
          finish_(finish) {}
    BandProducts(const BandProducts&) = delete;
    BandProducts& operator=(const BandProducts&) = delete;
    IMAGEN_INLINE ~BandProducts() { rest(); }

    // Those of `rows` rows, the first of which is `line`.
    IMAGEN_INLINE void run(int line, int rows) {
        const int pitch = strip_.pitch(), all = rows * pitch;
        for (int start = 0; start < all; start += kSumsPixels) {
            const int count = all - start < kSumsPixels ? all - start : kSumsPixels;
            gemm_beside(strip_.neighbours(start, count), weights_, bias_, sums_, row_,
                        [this] { one(); });
            rest();
            line_ = line + start / pitch;
            x_ = start % pitch;
            from_ = sums_;
            left_ = count;
            sums_ += flip_ ? -kSumsPixels * row_ : kSumsPixels * row_;
            flip_ = !flip_;
        }
    }

private:
    IMAGEN_INLINE void one() {
        if (left_ == 0) {
            return;
        }
        if (x_ < strip_.pitch() - 1) {
            finish_(line_, x_++, from_);
        } else {  // between two rows
            ++line_;
            x_ = 0;
        }
        from_ += row_;
        --left_;
    }
    IMAGEN_INLINE void rest() {
        while (left_ > 0) {
            one();
        }
    }

    const Strip<S>& strip_;
    const Panels<S>& weights_;
    const float* bias_;
    std::ptrdiff_t row_;
    float* sums_;
    bool flip_ = false;
    const Finish& finish_;
    int line_ = 0, x_ = 0, left_ = 0;  // of what is to be finished
    const float* from_ = nullptr;
};

// Packed weights, and the sums that are made by them. Output channels are in whole vectors.
template <class S>
class DirectSums {
    using Scalar = typename S::Scalar;

public:
    // Of a convolution.
    explicit DirectSums(const Conv3x3Weights& w)
        : DirectSums(9 * Strip<S>::padded(w.in), round_up(w.out, S::lanes)) {
        const int pixel = Strip<S>::padded(w.in), row = 9 * pixel;
        const Buffer rows(sizeof(Scalar) * right_.n * row);  // zeros beyond the channels
        for (int j = 0; j < w.out; ++j) {
            Scalar* to = static_cast<Scalar*>(rows.data()) + j * row;
            for (int tap = 0; tap < 9; ++tap) {
                for (int i = 0; i < w.in; i += S::lanes) {
                    S::store(to + tap * pixel + i, S::load(w.at(j, tap) + i));
                }
            }
            static_cast<float*>(bias_.data())[j] = w.bias[w.ordered(j)];
        }
        right_.fill_transposed(static_cast<const Scalar*>(rows.data()), row);
    }
    // Of what goes back to its input: that of the neighbours, with the weights turned.
    DirectSums(const Conv3x3Weights& w, Turned)
        : DirectSums(9 * Strip<S>::padded(w.out), w.in) {
        const int pixel = Strip<S>::padded(w.out);
        for (int tap = 0; tap < 9; ++tap) {
            for (int j = 0; j < w.out; j += 2) {
                for (int i = 0; i < w.in; i += S::lanes) {
                    right_.put(tap * pixel + j, i, S::load(w.at(j, 8 - tap) + i),
                               j + 1 < w.out ? S::load(w.at(j + 1, 8 - tap) + i) : S::zero());
                }
            }
        }
    }

    // Of a band.
    static IMAGEN_INLINE int rows(const Plane& x) { return Strip<S>::rows_of(x, kBandPixels); }
    float* memory(Pieces& pieces) const { return pieces.take<float>(2 * kSumsPixels * right_.n); }
    template <class Finish>
    IMAGEN_INLINE BandProducts<S, Finish> bands(const Strip<S>& strip, float* memory,
                                                const Finish& finish) const {
        return {strip, right_.panels, static_cast<const float*>(bias_.data()), memory, finish};
    }

private:
    DirectSums(int k, int n)
        : weights_(sizeof(Scalar) * k * n),
          bias_(sizeof(float) * n),
          right_(static_cast<Scalar*>(weights_.data()), k, n) {}

    Buffer weights_, bias_;
    Right<S> right_;
};

}  // namespace imagen_fast::cpu
