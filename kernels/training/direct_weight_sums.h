// The gradients of a 3×3 convolution's weights: for each of the nine neighbours y'ᵀ · x, summed over
// the pixels of one band after the other.
//
// Panels of x are read from any word of pixels on (operands.h). So where a word is a pair of them,
// there are two, one that begins with the first pixel and one that begins with the second, and each
// neighbour is in one.
#pragma once

#include "../cpu/pieces.h"
#include "add_product.h"
#include "operands.h"
#include "strip.h"

namespace imagen_fast::cpu {

template <class S>
class DirectWeightSums {
    using Scalar = typename S::Scalar;
    static constexpr int kStep = 2 * S::lanes;  // pixels

public:
    // For strips of `width` pixels and `rows` rows; in and out are multiples of 16.
    IMAGEN_INLINE DirectWeightSums(Pieces& pieces, int width, int in, int out, int rows)
        : in_(in),
          out_(out),
          // An odd number of cache lines, which lie in as many places of the first cache.
          line_(round_up(rows * (width + 1), 2 * kStep) + kStep),
          transposed_(pieces.take<Scalar>(out * line_)),
          words_(pieces.take<Scalar>(kStep * S::lanes), kStep, S::lanes),
          products_(pieces.take<float>(round_up(out, S::row_multiple) * in)) {
        const int all = round_up(rows * (width + 1), kStep) + 2 * (width + 1) + 2;
        panels_ = pieces.take<Scalar>(static_cast<std::ptrdiff_t>(round_up(all, 2)) * in);
    }

    // Floats of sums, (out, 9, in).
    static IMAGEN_INLINE std::ptrdiff_t count(int in, int out) {
        return static_cast<std::ptrdiff_t>(9) * in * out;
    }
    // Adds sums of output channel j to its gradient (9, in).
    static IMAGEN_INLINE void collect(const float* sums, int in, int, int j, float* gradient) {
        const float* from = sums + static_cast<std::ptrdiff_t>(j) * 9 * in;
        for (int i = 0; i < 9 * in; ++i) {
            gradient[i] += from[i];
        }
    }

    // Adds those of a band to sums.
    IMAGEN_INLINE void add(const Strip<S>& x, const Strip<S>& y, int rows, float* sums) const {
        const int pitch = x.pitch(), results = rows * pitch, k = round_up(results, kStep);
        transpose(y, results, k);
        Rows<S> left;
        left.segment[0] = transposed_;
        left.segments = 1;
        left.k = k;
        left.stride = line_;
        left.count = out_;
        for (int first = 0; first < S::depth; ++first) {
            const Right<S> right = fill(x, first, k + 2 * pitch + 2);
            for (int tap = 0; tap < 9; ++tap) {
                const int shift = tap / 3 * pitch + tap % 3;
                if (shift % S::depth == first) {
                    Panels<S> panels = right.panels;
                    panels.data += shift / S::depth * right.row();
                    add_product(left, panels, products_, sums + tap * in_, 9 * in_);
                }
            }
        }
    }

private:
    // Pixels of x from `first` on.
    IMAGEN_INLINE Right<S> fill(const Strip<S>& x, int first, int pixels) const {
        const Right<S> right(panels_, round_up(pixels, 2), in_);
        for (int j = 0; j < in_; j += S::lanes) {
            const Scalar* from = x.at(first) + j;
            for (int i = 0; i < right.k; i += 2, from += 2 * x.pixel()) {
                right.put(i, j, from, from + x.pixel());
            }
        }
        return right;
    }
    // The gradients of so many results as (out, k), the rest being zeros: words of pixels, and then
    // these, as in operands.h. The last pixel of a row is zero.
    IMAGEN_INLINE void transpose(const Strip<S>& y, int results, int k) const {
        const Scalar* from = y.at(y.pitch() + 1);
        for (int i = 0; i < k; i += kStep) {
            const int whole = results - i < kStep ? (results - i) / 2 * 2 : kStep;
            for (int j = 0; j < out_; j += S::lanes) {
                const Scalar* pixel = from + static_cast<std::ptrdiff_t>(i) * y.pixel() + j;
                int p = 0;
                for (; p < whole; p += 2, pixel += 2 * y.pixel()) {
                    words_.put(p, 0, pixel, pixel + y.pixel());
                }
                for (; p < kStep; p += 2) {
                    words_.put(p, 0, S::zero(), S::zero());
                }
                words_.transpose(transposed_ + j * line_ + i, line_);
            }
        }
    }

    int in_, out_;
    std::ptrdiff_t line_;  // elements from one channel to the next
    Scalar* transposed_;
    Right<S> words_;  // (kStep, lanes)
    float* products_;
    Scalar* panels_;
};

}  // namespace imagen_fast::cpu
