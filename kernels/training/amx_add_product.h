// The product of add_product.h on the tile unit, where sums stay in their tiles.
#pragma once

#include <type_traits>

#include "../cpu/gemm.h"
#include "../cpu/simd_amx.h"

namespace imagen_fast::cpu {

// Up to two tiles of sums below and two beside each other at a time.
template <class Unit>
class AmxAddProduct {
    template <int i>
    using Number = std::integral_constant<int, i>;

public:
    IMAGEN_INLINE AmxAddProduct(const Rows<Amx<Unit>>& a, const Panels<Amx<Unit>>& b, float* c,
                                std::ptrdiff_t c_row)
        : a_(a), b_(b), c_(c), c_row_(c_row) {}

    // Sums of tiles from `row` on down and from `column` on across.
    template <int rows, int columns>
    IMAGEN_INLINE void run(int row, int column) const {
        const std::uint16_t* left = a_.segment[0] + 16 * row * a_.stride;
        const std::uint16_t* right = b_.data + column * b_.size;
        float* c = c_ + 16 * row * c_row_ + 16 * column;
        each<rows, columns>([&](auto i, auto j) {
            Unit::template load<2 * i + j>(c + 16 * i * c_row_ + 16 * j, 4 * c_row_);
        });
        for (int k = 0; k < a_.k; k += 32, left += 32, right += 512) {
            each<rows, columns>([&](auto i, auto j) {
                if constexpr (i == 0) {
                    Unit::template load<6 + j>(right + j * b_.size, 64);
                }
                if constexpr (j == 0) {
                    Unit::template load<4 + i>(left + 16 * i * a_.stride, 2 * a_.stride);
                }
                Unit::template dot<2 * i + j, 4 + i, 6 + j>();
            });
        }
        each<rows, columns>([&](auto i, auto j) {
            Unit::template store<2 * i + j>(c + 16 * i * c_row_ + 16 * j, 4 * c_row_);
        });
    }

private:
    template <int rows, int columns, class Run>
    static IMAGEN_INLINE void each(const Run& run) {
        run(Number<0>(), Number<0>());
        if constexpr (columns > 1) run(Number<0>(), Number<1>());
        if constexpr (rows > 1) run(Number<1>(), Number<0>());
        if constexpr (rows > 1 && columns > 1) run(Number<1>(), Number<1>());
    }

    const Rows<Amx<Unit>>& a_;
    const Panels<Amx<Unit>>& b_;
    float* c_;
    std::ptrdiff_t c_row_;
};

template <class Unit>
void add_product(const Rows<Amx<Unit>>& a, const Panels<Amx<Unit>>& b, float*, float* c,
                 std::ptrdiff_t c_row) {
    const AmxAddProduct<Unit> add(a, b, c, c_row);
    const int rows = a.count / 16, columns = b.count;
    for (int i = 0; i < rows; i += 2) {
        for (int j = 0; j < columns; j += 2) {
            if (i + 1 < rows) {
                j + 1 < columns ? add.template run<2, 2>(i, j) : add.template run<2, 1>(i, j);
            } else {
                j + 1 < columns ? add.template run<1, 2>(i, j) : add.template run<1, 1>(i, j);
            }
        }
    }
}

}  // namespace imagen_fast::cpu
