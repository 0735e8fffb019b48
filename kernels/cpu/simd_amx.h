// Micro-kernel set: AMX. Planes and weights are bfloat16; products come from the tile unit, the
// rest from AVX-512.
//
// Counted for sr-x4-tiny at 256×256: 45.7 GFLOP are 2.8 million tile products, 14 ms of one core at
// 4.9 ns each; it takes 37. What else was measured: loading a tile takes 2.5 ns and storing one 4.5,
// half the vector unit's time as well, so registers that are loaded once and stored late pay.
#pragma once

#include "gemm.h"
#include "simd_avx512_bf16.h"

namespace imagen_fast::cpu {

template <class Unit>
struct Amx : Avx512Bf16 {
    using Tiles = Unit;
    using Session = typename Unit::Session;
    static constexpr int max_columns = 1;    // a step of a panel is one tile: 1 KiB in a row
    static constexpr int k_multiple = 32;    // the sum in one tile product
    static constexpr int row_multiple = 16;  // rows of a tile, computed even if unused
    // A 3×3 convolution of 16 pixels and 64 channels is 72 tile products, about 1150 cycles;
    // Winograd's needs 18, and about 1300 cycles of transforms.
    static constexpr bool direct = true;
};

// `tiles` tiles of 16 rows, `next` elements from one to the next, by one panel. A tile of B serves
// them all: B streams from the second cache, where 64 bytes in 16 cycles are to be had.
template <int tiles, class Unit, class Beside>
IMAGEN_INLINE void amx_tiles(const Rows<Amx<Unit>>& a, std::ptrdiff_t first, std::ptrdiff_t next,
                             const std::uint16_t* b, const float* bias, float* c,
                             std::ptrdiff_t c_row, Beside& beside) {
    const std::ptrdiff_t stride = a.stride * 2;
    if (bias) {
        Unit::template load<0>(bias, 0);
        if constexpr (tiles > 1) Unit::template load<1>(bias, 0);
        if constexpr (tiles > 2) Unit::template load<2>(bias, 0);
        if constexpr (tiles > 3) Unit::template load<3>(bias, 0);
    } else {
        Unit::template zero<0>();
        if constexpr (tiles > 1) Unit::template zero<1>();
        if constexpr (tiles > 2) Unit::template zero<2>();
        if constexpr (tiles > 3) Unit::template zero<3>();
    }
    for (int segment = 0; segment < a.segments; ++segment) {
        const std::uint16_t* p = a.segment[segment] + first * a.stride;
        for (int k = 0; k < a.k; k += 32, p += 32, b += 512) {
            const auto some = beside.template some<tiles>();
            Unit::template load<6>(b, 64);
            Unit::template load<4>(p, stride);
            Unit::template dot<0, 4, 6>();
            some(0);
            if constexpr (tiles > 1) {
                Unit::template load<5>(p + next, stride);
                Unit::template dot<1, 5, 6>();
                some(1);
            }
            if constexpr (tiles > 2) {
                Unit::template load<4>(p + 2 * next, stride);
                Unit::template dot<2, 4, 6>();
                some(2);
            }
            if constexpr (tiles > 3) {
                Unit::template load<5>(p + 3 * next, stride);
                Unit::template dot<3, 5, 6>();
                some(3);
            }
        }
    }
    const std::ptrdiff_t c_bytes = c_row * 4;
    Unit::template store<0>(c, c_bytes);
    if constexpr (tiles > 1) Unit::template store<1>(c + 16 * c_row, c_bytes);
    if constexpr (tiles > 2) Unit::template store<2>(c + 32 * c_row, c_bytes);
    if constexpr (tiles > 3) Unit::template store<3>(c + 48 * c_row, c_bytes);
}

struct Nothing {
    template <int products>
    IMAGEN_INLINE auto some() const {
        return [](int) {};
    }
};

// The first rows of A, up to four tiles of them, by one panel. Tiles lie `next` elements apart;
// `beside` is called once for each 32 of the sum.
template <class Unit, class Beside>
IMAGEN_INLINE void gemm_panel(const Rows<Amx<Unit>>& a, std::ptrdiff_t next,
                              const Panels<Amx<Unit>>& b, int panel, const float* bias, float* c,
                              std::ptrdiff_t c_row, Beside& beside, std::ptrdiff_t first = 0) {
    const std::uint16_t* data = b.data + panel * b.size;
    const float* start = bias ? bias + panel * 16 : nullptr;
    const std::ptrdiff_t rows = a.count - first;
    if (rows > 48) {
        amx_tiles<4>(a, first, next, data, start, c, c_row, beside);
    } else if (rows > 32) {
        amx_tiles<3>(a, first, next, data, start, c, c_row, beside);
    } else if (rows > 16) {
        amx_tiles<2>(a, first, next, data, start, c, c_row, beside);
    } else {
        amx_tiles<1>(a, first, next, data, start, c, c_row, beside);
    }
}

template <class Unit>
void gemm(const Rows<Amx<Unit>>& a, const Panels<Amx<Unit>>& b, const float* bias, float* c,
          std::ptrdiff_t c_row) {
    Nothing nothing;
    for (int i = 0; i < a.count; i += 64) {
        for (int panel = 0; panel < b.count; ++panel) {
            gemm_panel(a, 16 * a.stride, b, panel, bias, c + i * c_row + panel * 16, c_row,
                       nothing, i);
        }
    }
}

}  // namespace imagen_fast::cpu
