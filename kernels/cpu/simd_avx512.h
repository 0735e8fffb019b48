// Micro-kernel set: AVX-512, float throughout.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "flush_to_zero.h"
#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

// Arithmetic on sixteen floats, whatever the storage.
struct Avx512Floats {
    using Vec = __m512;
    static constexpr int lanes = 16;
    static constexpr int max_columns = 4;
    static constexpr int row_multiple = 1;
    static constexpr bool direct = false;
    static constexpr bool splits = false;
    static constexpr bool saturates = false;
    static constexpr bool widens = false;
    using Session = FlushToZero;
    // 24 accumulators, enough to hide the latency of FMA and to leave room for the operands.
    static constexpr int tile_rows(int columns) { return columns == 1 ? 12 : 24 / columns; }

    static IMAGEN_INLINE Vec zero() { return _mm512_setzero_ps(); }
    static IMAGEN_INLINE Vec set(float a) { return _mm512_set1_ps(a); }
    static IMAGEN_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
    static IMAGEN_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a); }
    static IMAGEN_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
    static IMAGEN_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
    static IMAGEN_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
    static IMAGEN_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
    static IMAGEN_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
    static IMAGEN_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
    // The estimate has 14 bits; one Newton step doubles them.
    static IMAGEN_INLINE Vec reciprocal(Vec a) {
        const Vec r = _mm512_rcp14_ps(a);
        return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(a, r, set(1.0f)), r);
    }
    static IMAGEN_INLINE Vec fraction(Vec x) { return _mm512_reduce_ps(x, 9); }
    static IMAGEN_INLINE Vec scale(Vec a, Vec x) { return _mm512_scalef_ps(a, x); }
    static IMAGEN_INLINE float sum(Vec a) { return _mm512_reduce_add_ps(a); }
    // Element i is the sum of a[i].
    static IMAGEN_INLINE Vec sums(const Vec (&a)[16]) {
        Vec b[8], c[4];
        for (int i = 0; i < 8; ++i) {  // of two rows, four sums of 4 elements each
            b[i] = add(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]),
                       _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
        }
        for (int i = 0; i < 4; ++i) {
            const __m512d p = _mm512_castps_pd(b[2 * i]), q = _mm512_castps_pd(b[2 * i + 1]);
            c[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(p, q)),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(p, q)));
        }
        const Vec low = add(_mm512_shuffle_f32x4(c[0], c[1], 0x88),
                            _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
        const Vec high = add(_mm512_shuffle_f32x4(c[2], c[3], 0x88),
                             _mm512_shuffle_f32x4(c[2], c[3], 0xdd));
        return add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
    }
    static IMAGEN_INLINE float maximum(Vec a) { return _mm512_reduce_max_ps(a); }
    static IMAGEN_INLINE Vec pick(Vec a, const std::int32_t* which) {
        return _mm512_permutexvar_ps(_mm512_loadu_si512(which), a);
    }
    static IMAGEN_INLINE Vec load_some(const float* p, int count) {
        return _mm512_maskz_loadu_ps(first(count), p);
    }
    static IMAGEN_INLINE void store_some(float* p, Vec a, int count) {
        _mm512_mask_storeu_ps(p, first(count), a);
    }
    static IMAGEN_INLINE Vec load_bytes(const std::uint8_t* p, int count) {
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(count), p)));
    }
    static IMAGEN_INLINE void store_bytes(std::uint8_t* p, Vec a, int count) {
        _mm_mask_storeu_epi8(p, first(count), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(a)));
    }

protected:
    static IMAGEN_INLINE __mmask16 first(int count) {
        return static_cast<__mmask16>((1u << count) - 1);
    }
    static IMAGEN_INLINE void transpose_words(const void* in, std::ptrdiff_t in_bytes, void* out,
                                              std::ptrdiff_t out_bytes) {
        __m512i a[16], b[16];
        for (int i = 0; i < 16; ++i) {
            a[i] = _mm512_loadu_si512(static_cast<const char*>(in) + i * in_bytes);
        }
        for (int i = 0; i < 16; i += 2) {  // pairs of rows, word by word
            b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
        }
        for (int i = 0; i < 16; i += 4) {  // four rows: column 4·(128-bit lane) + j in a[i + j]
            a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
            a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
            a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
            a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
        }
        for (int j = 0; j < 4; ++j) {  // a 4×4 transpose of 128-bit lanes
            const __m512i p = _mm512_shuffle_i32x4(a[j], a[j + 4], 0x44);
            const __m512i q = _mm512_shuffle_i32x4(a[j], a[j + 4], 0xee);
            const __m512i r = _mm512_shuffle_i32x4(a[j + 8], a[j + 12], 0x44);
            const __m512i s = _mm512_shuffle_i32x4(a[j + 8], a[j + 12], 0xee);
            const __m512i column[4] = {
                _mm512_shuffle_i32x4(p, r, 0x88), _mm512_shuffle_i32x4(p, r, 0xdd),
                _mm512_shuffle_i32x4(q, s, 0x88), _mm512_shuffle_i32x4(q, s, 0xdd)};
            for (int k = 0; k < 4; ++k) {
                _mm512_storeu_si512(static_cast<char*>(out) + (4 * k + j) * out_bytes, column[k]);
            }
        }
    }
};

struct Avx512 : Avx512Floats {
    using Scalar = float;
    using Pack = __m512;
    using Avx512Floats::store;
    static constexpr int depth = 1;
    static constexpr int k_multiple = depth;

    static IMAGEN_INLINE Pack load_pack(const Scalar* p) { return _mm512_loadu_ps(p); }
    static IMAGEN_INLINE Pack broadcast(const Scalar* p) { return _mm512_set1_ps(*p); }
    static IMAGEN_INLINE Vec dot(Vec sum, Pack a, Pack b) { return _mm512_fmadd_ps(a, b, sum); }
    static IMAGEN_INLINE void transpose(const Scalar* in, std::ptrdiff_t in_row, Scalar* out,
                                        std::ptrdiff_t out_row) {
        transpose_words(in, in_row * 4, out, out_row * 4);
    }
    // As store below, past the caches where a set has such stores.
    static IMAGEN_INLINE void stream(Scalar* p, Vec a, Vec b) { store(p, a, b); }
    static IMAGEN_INLINE void fence() {}
    // First a, then b.
    static IMAGEN_INLINE void store(Scalar* p, Vec a, Vec b) {
        store(p, a);
        store(p + lanes, b);
    }
    static Scalar scalar(float a) { return a; }
};

}  // namespace
}  // namespace imagen_fast::cpu
