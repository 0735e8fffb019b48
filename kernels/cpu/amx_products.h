// Products of 32 rows with 32 columns on the tile unit, one after the other.
//
// A tile's store waits for its last product, and what follows waits for the store. So sums stay in
// their tiles until the next products need these: then they are long there, and storing runs beside
// multiplying. 8 products and 4 stores: 41 ns instead of 61. And the vector unit has work beside
// each product: the processor does not look far enough ahead to find it behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "force_inline.h"

namespace imagen_fast::cpu {

template <int i>
using Constant = std::integral_constant<int, i>;

struct NothingBeside {
    template <int i>
    IMAGEN_INLINE void operator()(Constant<i>) const {}
};

// Work beside products comes in eight pieces.
template <class Beside>
IMAGEN_INLINE void every_piece(Beside&& beside) {
    beside(Constant<0>());
    beside(Constant<1>());
    beside(Constant<2>());
    beside(Constant<3>());
    beside(Constant<4>());
    beside(Constant<5>());
    beside(Constant<6>());
    beside(Constant<7>());
}

template <class Unit>
class AmxProducts {
    using Scalar = std::uint16_t;
    static constexpr int kTile = 512;  // elements of a tile

public:
    // c (32, 32): where the first call stores what is in the tiles before it.
    AmxProducts(float* c, std::ptrdiff_t c_row) : c_(c), c_row_(c_row) {}
    AmxProducts(const AmxProducts&) = delete;
    AmxProducts& operator=(const AmxProducts&) = delete;

    // c (32, 32), rows `c_row` apart = A (32, depth) · B (depth, 32), of which A lies row by row and
    // B in panels of (depth, 16). In c after the next call of either.
    template <class Beside>
    IMAGEN_INLINE void multiply(const Scalar* a, const Scalar* b, int depth, float* c,
                                std::ptrdiff_t c_row, Beside&& beside) {
        step<true, 0>(a, b, depth, beside);
        if (depth == 32) {
            beside(Constant<4>());
            beside(Constant<5>());
            beside(Constant<6>());
            beside(Constant<7>());
        } else {
            step<false, 4>(a + 32, b + kTile, depth, beside);
        }
        for (int k = 64; k < depth; k += 32) {
            step<false, 0>(a + k, b + k / 32 * kTile, depth, NothingBeside());
        }
        c_ = c;
        c_row_ = c_row;
    }
    IMAGEN_INLINE void finish() const {
        store<0>();
        store<1>();
        store<2>();
        store<3>();
    }

private:
    template <bool first, int piece, class Beside>
    IMAGEN_INLINE void step(const Scalar* a, const Scalar* b, int depth, Beside&& beside) const {
        Unit::template load<6>(b, 64);
        Unit::template load<4>(a, 2 * depth);
        product<first, 0, 4, 6>();
        beside(Constant<piece>());
        Unit::template load<5>(a + 16 * depth, 2 * depth);
        product<first, 1, 5, 6>();
        beside(Constant<piece + 1>());
        Unit::template load<7>(b + depth / 32 * kTile, 64);
        product<first, 2, 4, 7>();
        beside(Constant<piece + 2>());
        product<first, 3, 5, 7>();
        beside(Constant<piece + 3>());
    }
    template <bool first, int sum, int a, int b>
    IMAGEN_INLINE void product() const {
        if constexpr (first) {
            store<sum>();
            Unit::template zero<sum>();
        }
        Unit::template dot<sum, a, b>();
    }
    template <int sum>
    IMAGEN_INLINE void store() const {
        Unit::template store<sum>(c_ + sum % 2 * 16 * c_row_ + sum / 2 * 16, 4 * c_row_);
    }

    float* c_;  // of the sums in the tiles
    std::ptrdiff_t c_row_;
};

}  // namespace imagen_fast::cpu
