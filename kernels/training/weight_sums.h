// The gradients of a 3×3 convolution's weights: for each of the nine neighbours xᵀ · y', summed over
// the pixels of one band after the other.
#pragma once

#include "add_product.h"
#include "operands.h"
#include "../cpu/pieces.h"
#include "strip.h"

namespace imagen_fast::cpu {

template <class S>
class WeightSums {
    using Scalar = typename S::Scalar;
    static constexpr int kStep = 2 * S::lanes;  // pixels

public:
    // For strips of `width` pixels and `rows` rows; in and out are multiples of 16. Takes memory from
    // `pieces`, and clears it.
    IMAGEN_INLINE WeightSums(Pieces& pieces, int width, int in, int out, int rows)
        : in_(in),
          out_(out),
          // An odd number of cache lines, which lie in as many places of the first cache.
          line_(round_up(round_up(rows * (width + 1), kStep) + 2 * (width + 1) + 2, 2 * kStep) +
                kStep),
          transposed_(pieces.take<Scalar>(in * line_)),
          right_(pieces.take<Scalar>(round_up(rows * (width + 1), kStep) * out)),
          words_(pieces.take<Scalar>(kStep * S::lanes)),
          products_(pieces.take<float>(round_up(in, S::row_multiple) * out)) {
        for (std::ptrdiff_t i = 0; transposed_ && i < in * line_; ++i) {
            transposed_[i] = 0;  // what is multiplied by zeros must be finite
        }
    }

    // Adds those of a band to sums (9, in, out).
    IMAGEN_INLINE void add(const Strip<S>& x, const Strip<S>& y, int rows, float* sums) const {
        const int results = rows * x.pitch(), k = round_up(results, kStep);
        const Right<S> right(right_, k, out_);
        fill(y, results, right);
        transpose(x, k + 2 * x.pitch() + 2);
        Rows<S> left;
        left.segments = 1;
        left.k = k;
        left.stride = line_;
        left.count = in_;
        for (int tap = 0; tap < 9; ++tap) {
            left.segment[0] = transposed_ + tap / 3 * x.pitch() + tap % 3;
            add_product(left, right.panels, products_,
                        sums + static_cast<std::ptrdiff_t>(tap) * in_ * out_, out_);
        }
    }

private:
    // Gradients of so many results, and zeros after them. The last pixel of a row is zero.
    IMAGEN_INLINE void fill(const Strip<S>& y, int results, const Right<S>& right) const {
        const Scalar* from = y.at(y.pitch() + 1);
        for (int i = 0; i < right.k; i += 2, from += 2 * y.pixel()) {
            for (int j = 0; j < out_; j += S::lanes) {
                if (i + 1 < results) {
                    S::store_pairs(right.at(i, j), S::load(from + j), S::load(from + y.pixel() + j));
                } else {
                    S::store_pairs(right.at(i, j), S::zero(), S::zero());
                }
            }
        }
    }
    // x as (in, pixels): pairs of pixels, and then words, as in operands.h.
    IMAGEN_INLINE void transpose(const Strip<S>& x, int pixels) const {
        for (int i = 0; i < pixels; i += kStep) {
            for (int j = 0; j < in_; j += S::lanes) {
                for (int p = 0; p < kStep; p += 2) {
                    S::store_pairs(words_ + p * S::lanes, S::load(x.at(i + p) + j),
                                   S::load(x.at(i + p + 1) + j));
                }
                S::transpose(words_, 2 * S::lanes, transposed_ + j * line_ + i, line_);
            }
        }
    }

    int in_, out_;
    std::ptrdiff_t line_;  // elements from one channel to the next
    Scalar *transposed_, *right_, *words_;
    float* products_;
};

}  // namespace imagen_fast::cpu
