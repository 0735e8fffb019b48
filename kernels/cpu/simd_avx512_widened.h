// Micro-kernel set: AVX-512 for planes and weights of bfloat16, which become floats on their way into a
// product. Half of the memory that floats take, at nearly their speed.
#pragma once

#include "simd_avx512_halves.h"

namespace imagen_fast::cpu {
namespace {

struct Avx512Widened : Avx512Halves {
    struct Pack {  // of sixteen pairs along the sum
        Vec first, second;
    };
    static constexpr bool widens = true;
    // Accumulators, `columns` packs and a broadcast one are 30 or 31 registers of 32.
    static constexpr int tile_rows(int columns) {
        return columns <= 2 ? 12 : columns == 3 ? 7 : 5;
    }

    static IMAGEN_INLINE Pack load_pack(const Scalar* p) { return {load_even(p), load_odd(p)}; }
    // Of the rows of A as floats.
    static IMAGEN_INLINE Pack broadcast(const float* p) { return {set(p[0]), set(p[1])}; }
    static IMAGEN_INLINE Vec dot(Vec sum, Pack a, Pack b) {
        return fma(a.second, b.second, fma(a.first, b.first, sum));
    }
    // `count` elements as floats; more are written, up to a whole vector.
    static IMAGEN_INLINE void widen(const Scalar* p, int count, float* out) {
        int i = 0;
        for (; i + lanes <= count; i += lanes) {
            store(out + i, load(p + i));
        }
        if (i < count) {
            const __m256i rest = _mm256_maskz_loadu_epi16(first(count - i), p + i);
            store(out + i, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rest), 16)));
        }
    }
};

}  // namespace
}  // namespace imagen_fast::cpu
