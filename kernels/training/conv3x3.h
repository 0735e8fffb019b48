// A 3×3 convolution with zeros around the picture, and its gradients: an image at a time, and in it a
// band of rows after the other, which stays in the first caches (strip.h).
//
// With y' what the loss changes by with the sums y, the gradients are convolutions too: x' is that of y'
// with the weights turned by half a circle, that of the weights one of x with y'.
#pragma once

#include <type_traits>

#include "../cpu/buffer.h"
#include "direct_sums.h"
#include "op.h"
#include "direct_weight_sums.h"
#include "winograd_sums.h"
#include "winograd_weight_sums.h"

namespace imagen_fast::cpu {

// In bfloat16 the transforms' rounding would be more than that of what is stored.
template <class S>
constexpr bool winograd = std::is_same_v<typename S::Scalar, float>;
template <class S>
using BandSums = std::conditional_t<winograd<S>, WinogradSums<S>, DirectSums<S>>;
template <class S>
using WeightSums = std::conditional_t<winograd<S>, WinogradWeightSums<S>, DirectWeightSums<S>>;

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

// Sums of a convolution: bias + those over neighbours.
template <class S>
class Conv3x3Sums {
    using Scalar = typename S::Scalar;

public:
    explicit Conv3x3Sums(const Conv3x3Weights& w) : in_(w.in), sums_(w) {}

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
        auto bands = sums_.bands(strip, m.sums, finish);
        for_bands(x.height, m.rows, [&](int first, int rows) {
            strip.load(first, rows, x, image);
            bands.run(image * x.height + first, rows);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Sums& c, const Plane& x, Pieces& pieces)
            : rows(BandSums<S>::rows(x)),
              sums(c.sums_.memory(pieces)),
              strip(pieces.take<Scalar>(Strip<S>::elements(x.width, c.in_, rows))) {}

        int rows;
        float* sums;
        Scalar* strip;
    };

    int in_;
    BandSums<S> sums_;
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
          back_(w, Turned()) {
        for (int j = 0; j < out_; ++j) {
            static_cast<int*>(order_.data())[j] = w.ordered(j);
        }
    }

    int padded_out() const { return Strip<S>::padded(out_); }
    // Floats: the weights' and the bias' (whole_out).
    std::ptrdiff_t sums() const { return WeightSums<S>::count(in_, whole_out_) + whole_out_; }
    // Adds sums to the gradients of weights (out, 3, 3, in) and bias (out).
    void collect(const float* sums, float* weight, float* bias) const {
        const int row = 9 * in_;
        for (int j = 0; j < out_; ++j) {
            const std::ptrdiff_t to = static_cast<const int*>(order_.data())[j];
            WeightSums<S>::collect(sums, in_, whole_out_, j, weight + to * row);
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
        auto bands = back_.bands(right, m.sums, finish);
        for_bands(x.height, m.rows, [&](int first, int rows) {
            left.load(first, rows, x, image);
            right.load(first, rows, x.height,
                       [&](int y, Scalar* out) { read(y, out, right.pixel(), bias); });
            m.weights.add(left, right, rows, sums);
            bands.run(image * x.height + first, rows);
        });
    }

private:
    struct Memory {
        Memory(const Conv3x3Gradient& g, const Plane& x, Pieces& pieces)
            : rows(BandSums<S>::rows(x)),
              sums(g.back_.memory(pieces)),
              left(pieces.take<Scalar>(Strip<S>::elements(x.width, g.in_, rows))),
              right(pieces.take<Scalar>(Strip<S>::elements(x.width, g.out_, rows))),
              weights(pieces, x.width, g.in_, g.whole_out_, rows) {}

        int rows;
        float* sums;
        Scalar *left, *right;
        WeightSums<S> weights;
    };

    const float* bias_sums(const float* sums) const {
        return sums + WeightSums<S>::count(in_, whole_out_);
    }

    int in_, out_, whole_out_;
    Buffer order_;  // which channel of the weights each output channel is
    BandSums<S> back_;
};

}  // namespace imagen_fast::cpu
