// Floats kept as bfloat16 in planes and weights, for the AVX-512 sets. Arithmetic is theirs.
#pragma once

#include <cstring>

#include "simd_avx512.h"

namespace imagen_fast::cpu {
namespace {

struct Avx512Halves : Avx512Floats {
    using Scalar = std::uint16_t;  // the upper half of a float
    static constexpr int depth = 2;
    static constexpr int k_multiple = depth;
    static constexpr bool splits = true;
    static constexpr bool saturates = true;  // no Newton step that makes NaN of infinity

    using Avx512Floats::load;
    using Avx512Floats::store;
    static IMAGEN_INLINE Vec load(const Scalar* p) {
        const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
    // Elements 0, 2, … and 1, 3, … of 32: cheaper than the first and the last 16.
    static IMAGEN_INLINE Vec load_even(const Scalar* p) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
    }
    static IMAGEN_INLINE Vec load_odd(const Scalar* p) {
        return _mm512_castsi512_ps(
            _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-65536)));
    }
    static IMAGEN_INLINE void store(Scalar* p, Vec a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded(a));
    }
    // The estimate's 14 bits are more than are stored.
    static IMAGEN_INLINE Vec reciprocal(Vec a) { return _mm512_rcp14_ps(a); }
    // First a, then b.
    static IMAGEN_INLINE void store(Scalar* p, Vec a, Vec b) {
        _mm512_storeu_si512(p, rounded(a, b));
    }
    // The same for a whole cache line, past the caches.
    static IMAGEN_INLINE void stream(Scalar* p, Vec a, Vec b) {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(p), rounded(a, b));
    }
    static IMAGEN_INLINE void fence() { _mm_sfence(); }
    // out[2i] = a[i], out[2i + 1] = b[i]
    static IMAGEN_INLINE void store_pairs(Scalar* p, Vec a, Vec b) {
        const __m512i from = _mm512_add_epi32(
            _mm512_set1_epi32(0x00100000),
            _mm512_mullo_epi32(_mm512_set1_epi32(0x00010001),
                               _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                                 15)));
        _mm512_storeu_si512(p,
                            _mm512_permutexvar_epi16(from, rounded(a, b)));
    }
    // The same of 16 scalars each.
    static IMAGEN_INLINE void store_pairs(Scalar* p, const Scalar* a, const Scalar* b) {
        const __m512i both = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a))),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)), 1);
        const __m512i from = _mm512_add_epi32(
            _mm512_set1_epi32(0x00100000),
            _mm512_mullo_epi32(_mm512_set1_epi32(0x00010001),
                               _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                                 15)));
        _mm512_storeu_si512(p, _mm512_permutexvar_epi16(from, both));
    }
    // The estimate's 14 bits are enough here too.
    static IMAGEN_INLINE Vec reciprocal_root(Vec a) { return _mm512_rsqrt14_ps(a); }

    static IMAGEN_INLINE void transpose(const Scalar* in, std::ptrdiff_t in_row, Scalar* out,
                                        std::ptrdiff_t out_row) {
        transpose_words(in, in_row * 2, out, out_row * 2);
    }
    static Scalar scalar(float a) {
        std::uint32_t bits;
        std::memcpy(&bits, &a, sizeof bits);
        return static_cast<Scalar>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }

private:
#if defined(__AVX512BF16__)
    static IMAGEN_INLINE __m256i rounded(Vec a) { return (__m256i)_mm512_cvtneps_pbh(a); }
    static IMAGEN_INLINE __m512i rounded(Vec a, Vec b) {
        return (__m512i)_mm512_cvtne2ps_pbh(b, a);
    }
#else
    // To the nearest, ties to even.
    static IMAGEN_INLINE __m256i rounded(Vec a) {
        const __m512i bits = _mm512_castps_si512(a);
        const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i sum =
            _mm512_add_epi32(_mm512_add_epi32(bits, last), _mm512_set1_epi32(0x7fff));
        return _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16));
    }
    // First a, then b.
    static IMAGEN_INLINE __m512i rounded(Vec a, Vec b) {
        return _mm512_inserti64x4(_mm512_castsi256_si512(rounded(a)), rounded(b), 1);
    }
#endif
};

}  // namespace
}  // namespace imagen_fast::cpu
