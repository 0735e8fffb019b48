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

// finish(y, x, pixels, sums, row) gets the products of pixels from (y, x) on, all in a row, `row`
// floats apart. sums: room for those of kSumsPixels.
template <class S, class Finish>
IMAGEN_INLINE void band_products(const Strip<S>& strip, int first, int rows,
                                 const Panels<S>& weights, const float* bias, float* sums,
                                 const Finish& finish) {
    const int row = weights.width(), pitch = strip.pitch(), all = rows * pitch;
    for (int start = 0; start < all; start += kSumsPixels) {
        const int end = start + kSumsPixels < all ? start + kSumsPixels : all;
        gemm(strip.neighbours(start, end - start), weights, bias, sums, row);
        for (int i = start; i < end;) {
            const int x = i % pitch, left = pitch - x;
            const int pixels = end - i < left ? end - i : left - 1;
            if (pixels > 0) {
                finish(first + i / pitch, x, pixels, sums + (i - start) * row, row);
            }
            i += left;
        }
    }
}

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
    // Of an image; finish: as for `band_products`.
    template <class Finish>
    IMAGEN_INLINE void run(int image, const Plane& x, std::byte* scratch,
                           const Finish& finish) const {
        Pieces pieces(scratch);
        const Memory m(*this, x, pieces);
        const Strip<S> strip(m.strip, x.width, in_, m.rows);
        for_bands(x.height, m.rows, [&](int first, int rows) {
            strip.load(first, rows, x, image);
            band_products(strip, first, rows, weights_.right.panels,
                          static_cast<const float*>(bias_.data()), m.sums, finish);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Sums& c, const Plane& x, Pieces& pieces)
            : rows(Strip<S>::rows_of(x, kBandPixels)),
              sums(pieces.take<float>(kSumsPixels * c.weights_.right.n)),
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
                    S::store_pairs(turned_.right.at(tap * pixel + j, i),
                                   S::load(w.at(j, 8 - tap) + i),
                                   j + 1 < out_ ? S::load(w.at(j + 1, 8 - tap) + i) : S::zero());
                }
            }
        }
    }

    int padded_out() const { return Strip<S>::padded(out_); }
    // Floats: the weights' (9, in, whole_out), the bias' (whole_out).
    std::ptrdiff_t sums() const { return static_cast<std::ptrdiff_t>(9 * in_ + 1) * whole_out_; }
    // Adds sums to the gradients of weights (out, 3, 3, in) and bias (out).
    void collect(const float* sums, float* weight, float* bias) const {
        for (int j = 0; j < out_; ++j) {
            const std::ptrdiff_t row = static_cast<const int*>(order_.data())[j];
            for (int i = 0; i < 9 * in_; ++i) {
                weight[row * 9 * in_ + i] += sums[static_cast<std::ptrdiff_t>(i) * whole_out_ + j];
            }
            bias[row] += bias_sums(sums)[j];
        }
    }

    std::size_t scratch(const Plane& x) const {
        Pieces pieces(nullptr);
        (void)Memory(*this, x, pieces);
        return pieces.used();
    }
    // Of an image, and its part of the sums. read(y, out, pixel, bias) writes y' of row y, `pixel`
    // elements apart, and adds it to the sums of the bias. finish gets what x' is without what else
    // x goes into, as for `band_products`.
    template <class Read, class Finish>
    IMAGEN_INLINE void run(int image, const Plane& x, std::byte* scratch, float* sums,
                           const Read& read, const Finish& finish) const {
        Pieces pieces(scratch);
        const Memory m(*this, x, pieces);
        const Strip<S> left(m.left, x.width, in_, m.rows), right(m.right, x.width, out_, m.rows);
        float* const bias = const_cast<float*>(bias_sums(sums));
        for_bands(x.height, m.rows, [&](int first, int rows) {
            left.load(first, rows, x, image);
            right.load(first, rows, x.height,
                       [&](int y, Scalar* out) { read(y, out, right.pixel(), bias); });
            m.weights.add(left, right, rows, sums);
            band_products(right, first, rows, turned_.right.panels, nullptr, m.sums, finish);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Gradient& g, const Plane& x, Pieces& pieces)
            : rows(Strip<S>::rows_of(x, kBandPixels)),
              sums(pieces.take<float>(kSumsPixels * g.turned_.right.n)),
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
