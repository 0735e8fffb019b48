// Micro-kernel set: AVX512-BF16. Planes and weights are bfloat16, sums float.
//
// Worth having where vdpbf16ps is twice as fast as FMA (Zen 4 and later). On Intel it has half of FMA's
// rate: simd_avx512_widened.h is for those.
#pragma once

#include "simd_avx512_halves.h"

namespace imagen_fast::cpu {
namespace {

struct Avx512Bf16 : Avx512Halves {
    using Pack = __m512bh;  // sixteen pairs along the sum

    static IMAGEN_INLINE Pack load_pack(const Scalar* p) {
        return (__m512bh)_mm512_loadu_si512(p);
    }
    static IMAGEN_INLINE Pack broadcast(const Scalar* p) {
        int pair;
        std::memcpy(&pair, p, sizeof pair);
        return (__m512bh)_mm512_set1_epi32(pair);
    }
    static IMAGEN_INLINE Vec dot(Vec sum, Pack a, Pack b) { return _mm512_dpbf16_ps(sum, a, b); }
};

}  // namespace
}  // namespace imagen_fast::cpu
