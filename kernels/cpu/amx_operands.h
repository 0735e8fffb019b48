// What lies between the products of window attention: results of the tile unit, in float, become
// operands of its next products, as bfloat16, A row by row and B in pairs of rows.
//
// Beside the tile unit, floating point runs on one port of the processor and integers, logic and
// shuffles on another, so these are chosen to need both about equally.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "amx_products.h"
#include "force_inline.h"

namespace imagen_fast::cpu {

// Each takes the products of 32 tokens, and does its work in pieces, beside other products.
template <class S>
struct AmxOperands {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int d = 32;       // channels of a head
    static constexpr int kTile = 512;  // elements of a tile

    // q (tokens, d) → A, and what normalises each token's logits, times `scale`
    struct Queries {
        const float* q;
        float scale;
        Scalar* out;
        float* factor;
        Vec squares[16] = {};

        template <int i>
        IMAGEN_INLINE void operator()(Constant<i>) {
            for (int j = 0; j < 4; ++j) {
                squares[i % 4 * 4 + j] = square(q + (4 * i + j) * d);
                S::store(out + (4 * i + j) * d, S::load(q + (4 * i + j) * d),
                         S::load(q + (4 * i + j) * d + 16));
            }
            if constexpr (i % 4 == 3) {
                S::store(factor + i / 4 * 16, inverse_rms(S::sums(squares), scale));
            }
        }
    };

    // k (tokens, d), normalised → B (d, tokens)
    struct Keys {
        const float* k;
        Scalar* out;
        Vec squares[16] = {};
        alignas(64) float factor[16];
        alignas(64) Scalar rows[kTile];

        template <int i>
        IMAGEN_INLINE void operator()(Constant<i>) {
            const float* in = k + i / 4 * 16 * d;
            if constexpr (i % 4 < 2) {
                for (int j = i % 4 * 8; j < i % 4 * 8 + 8; ++j) {
                    squares[j] = square(in + j * d);
                }
            }
            if constexpr (i % 4 == 1) {
                S::store(factor, inverse_rms(S::sums(squares), 1.0f));
            }
            if constexpr (i % 4 == 2) {
                for (int j = 0; j < 16; ++j) {
                    const Vec f = S::set(factor[j]);
                    S::store(rows + j * d, S::mul(S::load(in + j * d), f),
                             S::mul(S::load(in + j * d + 16), f));
                }
            }
            if constexpr (i % 4 == 3) {
                S::transpose(rows, d, out + i / 4 * kTile, d);
            }
        }
    };

    // v (tokens, d) → B, whose pairs are tokens i and 16 + i
    struct Values {
        const float* v;
        Scalar* out;

        template <int i>
        IMAGEN_INLINE void operator()(Constant<i>) const {
            for (int t = 2 * i; t < 2 * i + 2; ++t) {
                const float *a = v + t * d, *b = v + (16 + t) * d;
                S::store_pairs(out + 32 * t, S::load(a), S::load(b));
                S::store_pairs(out + 32 * t + kTile, S::load(a + 16), S::load(b + 16));
            }
        }
    };

private:
    static IMAGEN_INLINE Vec square(const float* row) {
        const Vec a = S::load(row), b = S::load(row + 16);
        return S::fma(a, a, S::mul(b, b));
    }
    // scale / rms of d numbers, from the sum of their squares
    static IMAGEN_INLINE Vec inverse_rms(Vec squares, float scale) {
        const Vec mean = S::fma(squares, S::set(1.0f / d), S::set(1e-6f));
        return S::mul(S::reciprocal_root(mean), S::set(scale));
    }
};

// 2^(f · x) for |f · x| < 126 as bfloat16, whose mantissa has 7 bits: f · x is rounded to 1/128, and
// a table says which mantissa its fraction stands for. Off by up to 0.5 %, where rounding alone
// is off by 0.4.
class AmxExponentials {
public:
    IMAGEN_INLINE AmxExponentials() {
        alignas(64) std::uint8_t mantissa[128];
        for (int i = 0; i < 128; ++i) {
            mantissa[i] = static_cast<std::uint8_t>(std::lrint(128 * (std::exp2(i / 128.0) - 1)));
        }
        low_ = _mm512_load_si512(mantissa);
        high_ = _mm512_load_si512(mantissa + 64);
    }

    // Of 32 numbers: element 2i is number i, element 2i + 1 number 16 + i.
    IMAGEN_INLINE void operator()(const float* x, __m512 f, std::uint16_t* out) const {
        // In this float's lowest 16 bits, 1 is 2^-7: the sum's are 128 (f · x + 127), a bfloat16
        // with exponent ⌊f · x⌋ and the fraction for a mantissa.
        const __m512 at = _mm512_set1_ps(1.5f * 65536 + 127);
        const __m512i a = _mm512_castps_si512(_mm512_fmadd_ps(_mm512_loadu_ps(x), f, at));
        const __m512i b = _mm512_castps_si512(_mm512_fmadd_ps(_mm512_loadu_ps(x + 16), f, at));
        const __m512i linear = _mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16));
        const __m512i mantissa = _mm512_permutex2var_epi8(low_, linear, high_);
        constexpr int kSelect = 0xca;  // the first argument's ones take the second's bits
        _mm512_storeu_si512(out, _mm512_ternarylogic_epi32(_mm512_set1_epi16(-128), linear,
                                                           mantissa, kSelect));
    }

private:
    __m512i low_, high_;
};

}  // namespace imagen_fast::cpu
