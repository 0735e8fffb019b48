// Micro-kernel set: AVX2 with FMA, float throughout.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "flush_to_zero.h"
#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

struct Avx2 {
    using Scalar = float;
    using Vec = __m256;
    using Pack = __m256;
    static constexpr int lanes = 8;
    static constexpr int depth = 1;
    static constexpr int k_multiple = depth, row_multiple = 1;
    static constexpr bool direct = false;
    static constexpr bool splits = false;
    static constexpr bool saturates = false;
    static constexpr bool widens = false;
    using Session = FlushToZero;
    static constexpr int max_columns = 2;
    // Of sixteen registers twelve are accumulators.
    static constexpr int tile_rows(int columns) { return columns == 1 ? 8 : 6; }

    static IMAGEN_INLINE Vec zero() { return _mm256_setzero_ps(); }
    static IMAGEN_INLINE Vec set(float a) { return _mm256_set1_ps(a); }
    static IMAGEN_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
    static IMAGEN_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a); }
    static IMAGEN_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
    static IMAGEN_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
    static IMAGEN_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
    static IMAGEN_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
    static IMAGEN_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
    static IMAGEN_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
    static IMAGEN_INLINE Vec reciprocal(Vec a) { return _mm256_div_ps(set(1.0f), a); }
    static IMAGEN_INLINE Vec reciprocal_root(Vec a) { return reciprocal(_mm256_sqrt_ps(a)); }
    static IMAGEN_INLINE Vec fraction(Vec x) { return _mm256_sub_ps(x, _mm256_floor_ps(x)); }
    static IMAGEN_INLINE Vec scale(Vec a, Vec x) {
        const __m256i power = _mm256_cvtps_epi32(_mm256_floor_ps(x));
        const __m256i exponent = _mm256_add_epi32(power, _mm256_set1_epi32(127));
        return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
    }
    static IMAGEN_INLINE float sum(Vec a) {
        __m128 r = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        r = _mm_add_ps(r, _mm_movehl_ps(r, r));
        return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
    }
    // Element i is the sum of a[i].
    static IMAGEN_INLINE Vec sums(const Vec (&a)[8]) {
        Vec b[4];
        for (int i = 0; i < 4; ++i) {
            b[i] = _mm256_hadd_ps(a[2 * i], a[2 * i + 1]);
        }
        const Vec low = _mm256_hadd_ps(b[0], b[1]), high = _mm256_hadd_ps(b[2], b[3]);
        return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
    }
    static IMAGEN_INLINE float maximum(Vec a) {
        __m128 r = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        r = _mm_max_ps(r, _mm_movehl_ps(r, r));
        return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
    }
    static IMAGEN_INLINE Vec pick(Vec a, const std::int32_t* which) {
        return _mm256_permutevar8x32_ps(
            a, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(which)));
    }
    static IMAGEN_INLINE Vec load_some(const float* p, int count) {
        return _mm256_maskload_ps(p, first(count));
    }
    static IMAGEN_INLINE void store_some(float* p, Vec a, int count) {
        if (count == lanes) {
            return store(p, a);
        }
        // Not a masked store, which some processors take a dozen cycles for.
        __m128 half = _mm256_castps256_ps128(a);
        if (count & 4) {
            _mm_storeu_ps(p, half);
            half = _mm256_extractf128_ps(a, 1);
            p += 4;
        }
        if (count & 2) {
            _mm_storel_pi(reinterpret_cast<__m64*>(p), half);
            half = _mm_movehl_ps(half, half);
            p += 2;
        }
        if (count & 1) {
            _mm_store_ss(p, half);
        }
    }
    static IMAGEN_INLINE Vec load_bytes(const std::uint8_t* p, int count) {
        std::uint64_t bytes = 0;
        for (int i = 0; i < count; ++i) {
            bytes |= std::uint64_t{p[i]} << 8 * i;
        }
        return _mm256_cvtepi32_ps(
            _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes))));
    }
    static IMAGEN_INLINE void store_bytes(std::uint8_t* p, Vec a, int count) {
        const __m256i words = _mm256_cvtps_epi32(a);
        const __m128i halves =
            _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        auto bytes =
            static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(halves, halves)));
        if (count == lanes) {
            std::memcpy(p, &bytes, lanes);
        } else {
            for (int i = 0; i < count; ++i, bytes >>= 8) {
                p[i] = static_cast<std::uint8_t>(bytes);
            }
        }
    }

    static IMAGEN_INLINE Pack load_pack(const Scalar* p) { return _mm256_loadu_ps(p); }
    static IMAGEN_INLINE Pack broadcast(const Scalar* p) { return _mm256_broadcast_ss(p); }
    static IMAGEN_INLINE Vec dot(Vec sum, Pack a, Pack b) { return _mm256_fmadd_ps(a, b, sum); }
    static IMAGEN_INLINE void transpose(const Scalar* in, std::ptrdiff_t in_row, Scalar* out,
                                        std::ptrdiff_t out_row) {
        __m256 a[8], b[8];
        for (int i = 0; i < 8; ++i) {
            a[i] = load(in + i * in_row);
        }
        for (int i = 0; i < 8; i += 2) {
            b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
        }
        for (int i = 0; i < 8; i += 4) {  // four rows: column 4·(128-bit lane) + j in a[i + j]
            a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
            a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
            a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
            a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
        }
        for (int j = 0; j < 4; ++j) {
            store(out + j * out_row, _mm256_permute2f128_ps(a[j], a[j + 4], 0x20));
            store(out + (j + 4) * out_row, _mm256_permute2f128_ps(a[j], a[j + 4], 0x31));
        }
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

private:
    static IMAGEN_INLINE __m256i first(int count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(count),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
};

}  // namespace
}  // namespace imagen_fast::cpu
