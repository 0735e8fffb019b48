// Micro-kernel set: AMX. Planes and weights are bfloat16; products come from the tile unit, the
// rest from AVX-512.
//
// Measured (Xeon, 3.3 to 3.8 GHz with tiles in use): a product takes 16 cycles, a tile load 8 of
// which products hide half, a tile store 16 in which nothing else starts. Beside tile instructions,
// and for 300 cycles after, floating point runs on one port, an instruction of 512 bits a cycle;
// integers, logic and shuffles keep the other.
#pragma once

#include "gemm.h"
#include "simd_avx512_bf16.h"

namespace imagen_fast::cpu {

template <class Unit>
struct Amx : Avx512Bf16 {
    using Tiles = Unit;
    struct Session {
        Avx512Bf16::Session flush;
        typename Unit::Session tiles;
    };
    static constexpr int max_columns = 1;    // a step of a panel is one tile: 1 KiB in a row
    static constexpr int k_multiple = 32;    // the sum in one tile product
    static constexpr int row_multiple = 16;  // rows of a tile, computed even if unused
    // A 3×3 convolution of 16 pixels and 64 channels is 72 tile products, about 1150 cycles;
    // Winograd's needs 18, and about 1300 cycles of transforms.
    static constexpr bool direct = true;
};

// Rows of A from `first` on, as many tiles of them as named, by all panels. A tile of B serves them
// all: B streams from the second cache, where 64 bytes in 16 cycles are to be had. A panel's sums
// stay in their tiles until the next panel's products need these (see amx_products.h).
template <int tiles, class Unit>
class AmxRows {
public:
    AmxRows(const Rows<Amx<Unit>>& a, std::ptrdiff_t first, float* c, std::ptrdiff_t c_row)
        : a_(a), first_(first), c_(c), c_row_(c_row) {}

    // beside() runs beside each product.
    template <class Beside>
    IMAGEN_INLINE void multiply(const Panels<Amx<Unit>>& b, const float* bias,
                                const Beside& beside) {
        for (int panel = 0; panel < b.count; ++panel) {
            const std::uint16_t* right = b.data + panel * b.size;
            const float* start = bias ? bias + 16 * panel : nullptr;
            float* before = panel > 0 ? c_ + 16 * (panel - 1) : nullptr;
            for (int segment = 0; segment < a_.segments; ++segment) {
                const std::uint16_t* left = a_.segment[segment] + first_ * a_.stride;
                for (int k = 0; k < a_.k; k += 32, left += 32, right += 512) {
                    segment + k ? step<false>(left, right, start, nullptr, beside)
                                : step<true>(left, right, start, before, beside);
                }
            }
        }
        store<0>(c_ + 16 * (b.count - 1));
        store<1>(c_ + 16 * (b.count - 1));
        store<2>(c_ + 16 * (b.count - 1));
        store<3>(c_ + 16 * (b.count - 1));
    }

private:
    template <bool first, class Beside>
    IMAGEN_INLINE void step(const std::uint16_t* left, const std::uint16_t* right,
                            const float* start, float* before, const Beside& beside) const {
        Unit::template load<6>(right, 64);
        product<first, 0>(left, start, before, beside);
        product<first, 1>(left, start, before, beside);
        product<first, 2>(left, start, before, beside);
        product<first, 3>(left, start, before, beside);
    }
    template <bool first, int i, class Beside>
    IMAGEN_INLINE void product(const std::uint16_t* left, const float* start, float* before,
                               const Beside& beside) const {
        if constexpr (i < tiles) {
            Unit::template load<4 + i % 2>(left + 16 * i * a_.stride, 2 * a_.stride);
            if constexpr (first) {
                if (before) {
                    store<i>(before);
                }
                if (start) {
                    Unit::template load<i>(start, 0);
                } else {
                    Unit::template zero<i>();
                }
            }
            Unit::template dot<i, 4 + i % 2, 6>();
            beside();
        }
    }
    template <int i>
    IMAGEN_INLINE void store(float* c) const {
        if constexpr (i < tiles) {
            Unit::template store<i>(c + 16 * i * c_row_, 4 * c_row_);
        }
    }

    const Rows<Amx<Unit>>& a_;
    std::ptrdiff_t first_;
    float* c_;
    std::ptrdiff_t c_row_;
};

// The same as `gemm` (gemm.h), with beside() beside each product.
template <class Unit, class Beside>
IMAGEN_INLINE void gemm_beside(const Rows<Amx<Unit>>& a, const Panels<Amx<Unit>>& b,
                               const float* bias, float* c, std::ptrdiff_t c_row,
                               const Beside& beside) {
    for (int i = 0; i < a.count; i += 64, c += 64 * c_row) {
        const int left = a.count - i;
        if (left > 48) {
            AmxRows<4, Unit>(a, i, c, c_row).multiply(b, bias, beside);
        } else if (left > 32) {
            AmxRows<3, Unit>(a, i, c, c_row).multiply(b, bias, beside);
        } else if (left > 16) {
            AmxRows<2, Unit>(a, i, c, c_row).multiply(b, bias, beside);
        } else {
            AmxRows<1, Unit>(a, i, c, c_row).multiply(b, bias, beside);
        }
    }
}

template <class Unit>
void gemm(const Rows<Amx<Unit>>& a, const Panels<Amx<Unit>>& b, const float* bias, float* c,
          std::ptrdiff_t c_row) {
    gemm_beside(a, b, bias, c, c_row, [] {});
}

}  // namespace imagen_fast::cpu
