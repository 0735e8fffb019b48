// The gradients of a 3×3 convolution's weights: for each of the nine neighbours y'ᵀ · x, summed over
// the pixels of one band after the other.
//
// In panels, which hold pairs of pixels, x is read from any pair on: so there are two of them, one
// that begins with the first pixel and one that begins with the second, and each neighbour is in one.
#pragma once

#include "../cpu/pieces.h"
#include "add_product.h"
#include "operands.h"
#include "strip.h"

namespace imagen_fast::cpu {

template <class S>
class WeightSums {
    using Scalar = typename S::Scalar;
    static constexpr int kStep = 2 * S::lanes;  // pixels

public:
    // For strips of `width` pixels and `rows` rows; in and out are multiples of 16.
    IMAGEN_INLINE WeightSums(Pieces& pieces, int width, int in, int out, int rows)
        : in_(in),
          out_(out),
          // An odd number of cache lines, which lie in as many places of the first cache.
          line_(round_up(rows * (width + 1), 2 * kStep) + kStep),
          transposed_(pieces.take<Scalar>(out * line_)),
          words_(pieces.take<Scalar>(kStep * S::lanes)),
          products_(pieces.take<float>(round_up(out, S::row_multiple) * in)) {
        const int all = round_up(rows * (width + 1), kStep) + 2 * (width + 1) + 2;
        for (Scalar*& panels : panels_) {
            panels = pieces.take<Scalar>(static_cast<std::ptrdiff_t>(round_up(all, 2)) * in);
        }
    }

    // Adds those of a band to sums (out, 9, in).
    IMAGEN_INLINE void add(const Strip<S>& x, const Strip<S>& y, int rows, float* sums) const {
        const int pitch = x.pitch(), results = rows * pitch, k = round_up(results, kStep);
        transpose(y, results, k);
        const Right<S> right[2] = {fill(x, 0, k + 2 * pitch + 2), fill(x, 1, k + 2 * pitch + 2)};
        Rows<S> left;
        left.segment[0] = transposed_;
        left.segments = 1;
        left.k = k;
        left.stride = line_;
        left.count = out_;
        for (int odd = 0; odd < 2; ++odd) {  // those of the same panels one after the other
            for (int tap = 0; tap < 9; ++tap) {
                const int shift = tap / 3 * pitch + tap % 3;
                if (shift % 2 == odd) {
                    Panels<S> panels = right[odd].panels;
                    panels.data += shift / 2 * right[odd].row();
                    add_product(left, panels, products_, sums + tap * in_, 9 * in_);
                }
            }
        }
    }

private:
    // Pixels of x from `first` on.
    IMAGEN_INLINE Right<S> fill(const Strip<S>& x, int first, int pixels) const {
        const Right<S> right(panels_[first], round_up(pixels, 2), in_);
        for (int j = 0; j < in_; j += S::lanes) {
            const Scalar* from = x.at(first) + j;
            Scalar* to = right.at(0, j);
            for (int i = 0; i < right.k; i += 2, from += 2 * x.pixel(), to += right.row()) {
                S::store_pairs(to, from, from + x.pixel());
            }
        }
        return right;
    }
    // The gradients of so many results as (out, k), the rest being zeros: pairs of pixels, and then
    // words, as in operands.h. The last pixel of a row is zero.
    IMAGEN_INLINE void transpose(const Strip<S>& y, int results, int k) const {
        const Scalar* from = y.at(y.pitch() + 1);
        for (int i = 0; i < k; i += kStep) {
            const int whole = results - i < kStep ? (results - i) / 2 * 2 : kStep;
            for (int j = 0; j < out_; j += S::lanes) {
                const Scalar* pixel = from + static_cast<std::ptrdiff_t>(i) * y.pixel() + j;
                int p = 0;
                for (; p < whole; p += 2, pixel += 2 * y.pixel()) {
                    S::store_pairs(words_ + p * S::lanes, pixel, pixel + y.pixel());
                }
                for (; p < kStep; p += 2) {
                    S::store_pairs(words_ + p * S::lanes, S::zero(), S::zero());
                }
                S::transpose(words_, 2 * S::lanes, transposed_ + j * line_ + i, line_);
            }
        }
    }

    int in_, out_;
    std::ptrdiff_t line_;  // elements from one channel to the next
    Scalar *transposed_, *words_;
    float* products_;
    Scalar* panels_[2];
};

}  // namespace imagen_fast::cpu
