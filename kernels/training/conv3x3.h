// A 3×3 convolution with zeros around the picture, and its gradients: an image at a time, and in it a
// band of rows after the other, which stays in the first caches (strip.h).
//
// With y' what the loss changes by with the sums y, the gradients are products too: x' that of the
// neighbours in y' with the weights turned by half a circle, the weights' those of weight_sums.h.
#pragma once

#include "../cpu/buffer.h"
#include "op.h"
#include "operands.h"
#include "strip.h"
#include "weight_sums.h"

namespace imagen_fast::cpu {

constexpr int kBandPixels = 256;
constexpr int kSumsPixels = 64;  // whose sums are computed at once

// The bands of an image of so many rows from its top to its bottom: run(first, rows).
template <class Run>
IMAGEN_INLINE void for_bands(int height, int rows, const Run& run) {
    for (int first = 0; first < height; first += rows) {
        run(first, rows < height - first ? rows : height - first);
    }
}

// The first element of pixel x of a row, counted through all images of a plane without a border.
IMAGEN_INLINE std::ptrdiff_t pixel(const Plane& plane, int line, int x) {
    return (static_cast<std::ptrdiff_t>(line) * plane.width + x) * plane.pixel;
}

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

// Packed weights.
template <class S>
struct PackedRight {
    PackedRight(int k, int n)
        : buffer(sizeof(typename S::Scalar) * k * n),
          right(static_cast<typename S::Scalar*>(buffer.data()), k, n) {}

    Buffer buffer;
    Right<S> right;
};

// Sums of a convolution: bias + those over neighbours. Output channels in whole vectors.
template <class S>
class Conv3x3Sums {
    using Scalar = typename S::Scalar;

public:
    explicit Conv3x3Sums(const Conv3x3Weights& w)
        : in_(w.in),
          weights_(9 * Strip<S>::padded(w.in), round_up(w.out, S::lanes)),
          bias_(sizeof(float) * weights_.right.n) {
        const int pixel = Strip<S>::padded(in_), row = 9 * pixel;
        const Buffer rows(sizeof(Scalar) * weights_.right.n * row);  // zeros beyond the channels
        for (int j = 0; j < w.out; ++j) {
            Scalar* to = static_cast<Scalar*>(rows.data()) + j * row;
            for (int tap = 0; tap < 9; ++tap) {
                for (int i = 0; i < in_; i += S::lanes) {
                    S::store(to + tap * pixel + i, S::load(w.at(j, tap) + i));
                }
            }
            static_cast<float*>(bias_.data())[j] = w.bias[w.ordered(j)];
        }
        weights_.right.fill_transposed(static_cast<const Scalar*>(rows.data()), row);
    }

    std::size_t scratch(const Plane& x) const {
        Pieces pieces(nullptr);
        (void)Memory(*this, x, pieces);
        return pieces.used();
    }
    // Of an image; finish: as for BandProducts.
    template <class Finish>
    IMAGEN_INLINE void run(int image, const Plane& x, std::byte* scratch,
                           const Finish& finish) const {
        Pieces pieces(scratch);
        const Memory m(*this, x, pieces);
        const Strip<S> strip(m.strip, x.width, in_, m.rows);
        BandProducts<S, Finish> products(strip, weights_.right.panels,
                                         static_cast<const float*>(bias_.data()), m.sums, finish);
        for_bands(x.height, m.rows, [&](int first, int rows) {
            strip.load(first, rows, x, image);
            products.run(image * x.height + first, rows);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Sums& c, const Plane& x, Pieces& pieces)
            : rows(Strip<S>::rows_of(x, kBandPixels)),
              sums(pieces.take<float>(2 * kSumsPixels * c.weights_.right.n)),
              strip(pieces.take<Scalar>(Strip<S>::elements(x.width, c.in_, rows))) {}

        int rows;
        float* sums;
        Scalar* strip;
    };

    int in_;
    PackedRight<S> weights_;
    Buffer bias_;
};

// Gradients of a convolution's input, weights and bias.
template <class S>
class Conv3x3Gradient {
    using Scalar = typename S::Scalar;

public:
    explicit Conv3x3Gradient(const Conv3x3Weights& w)
        : in_(w.in),
          out_(w.out),
          whole_out_(round_up(w.out, S::lanes)),
          order_(sizeof(int) * w.out),
          turned_(9 * Strip<S>::padded(w.out), w.in) {
        for (int j = 0; j < out_; ++j) {
            static_cast<int*>(order_.data())[j] = w.ordered(j);
        }
        const int pixel = Strip<S>::padded(out_);
        for (int tap = 0; tap < 9; ++tap) {
            for (int j = 0; j < out_; j += 2) {
                for (int i = 0; i < in_; i += S::lanes) {
                    turned_.right.put(tap * pixel + j, i, S::load(w.at(j, 8 - tap) + i),
                                      j + 1 < out_ ? S::load(w.at(j + 1, 8 - tap) + i) : S::zero());
                }
            }
        }
    }

    int padded_out() const { return Strip<S>::padded(out_); }
    // Floats: the weights' (whole_out, 9, in), the bias' (whole_out).
    std::ptrdiff_t sums() const { return static_cast<std::ptrdiff_t>(9 * in_ + 1) * whole_out_; }
    // Adds sums to the gradients of weights (out, 3, 3, in) and bias (out).
    void collect(const float* sums, float* weight, float* bias) const {
        const int row = 9 * in_;
        for (int j = 0; j < out_; ++j) {
            const std::ptrdiff_t to = static_cast<const int*>(order_.data())[j];
            for (int i = 0; i < row; ++i) {
                weight[to * row + i] += sums[static_cast<std::ptrdiff_t>(j) * row + i];
            }
            bias[to] += bias_sums(sums)[j];
        }
    }

    std::size_t scratch(const Plane& x) const {
        Pieces pieces(nullptr);
        (void)Memory(*this, x, pieces);
        return pieces.used();
    }
    // Of an image, and its part of the sums. read(y, out, pixel, bias) writes y' of row y, `pixel`
    // elements apart, and adds it to the sums of the bias. finish gets what x' is without what else
    // x goes into, as for BandProducts.
    template <class Read, class Finish>
    IMAGEN_INLINE void run(int image, const Plane& x, std::byte* scratch, float* sums,
                           const Read& read, const Finish& finish) const {
        Pieces pieces(scratch);
        const Memory m(*this, x, pieces);
        const Strip<S> left(m.left, x.width, in_, m.rows), right(m.right, x.width, out_, m.rows);
        float* const bias = const_cast<float*>(bias_sums(sums));
        BandProducts<S, Finish> products(right, turned_.right.panels, nullptr, m.sums, finish);
        for_bands(x.height, m.rows, [&](int first, int rows) {
            left.load(first, rows, x, image);
            right.load(first, rows, x.height,
                       [&](int y, Scalar* out) { read(y, out, right.pixel(), bias); });
            m.weights.add(left, right, rows, sums);
            products.run(image * x.height + first, rows);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Gradient& g, const Plane& x, Pieces& pieces)
            : rows(Strip<S>::rows_of(x, kBandPixels)),
              sums(pieces.take<float>(2 * kSumsPixels * g.turned_.right.n)),
              left(pieces.take<Scalar>(Strip<S>::elements(x.width, g.in_, rows))),
              right(pieces.take<Scalar>(Strip<S>::elements(x.width, g.out_, rows))),
              weights(pieces, x.width, g.in_, g.whole_out_, rows) {}

        int rows;
        float* sums;
        Scalar *left, *right;
        WeightSums<S> weights;
    };

    const float* bias_sums(const float* sums) const {
        return sums + static_cast<std::ptrdiff_t>(9) * in_ * whole_out_;
    }

    int in_, out_, whole_out_;
    Buffer order_;  // which channel of the weights each output channel is
    PackedRight<S> turned_;
};

}  // namespace imagen_fast::cpu
