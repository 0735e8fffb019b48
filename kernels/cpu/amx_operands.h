// Products of 32 tokens with a head's weights, as the tile unit wants them next: queries and keys
// normalised, all as bfloat16, A row by row and B in pairs of rows.
#pragma once

#include <cstddef>

#include "force_inline.h"

namespace imagen_fast::cpu {

template <class S>
struct AmxOperands {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int d = 32;       // channels of a head
    static constexpr int kTile = 512;  // elements of a tile

    // k (d, 32 tokens) → B
    static IMAGEN_INLINE void keys(int step, const float* k, Scalar* out) {
        Vec low = S::zero(), low_odd = S::zero(), high = S::zero(), high_odd = S::zero();
        for (int i = 0; i < d; i += 2) {  // four sums, because each waits for its last term
            const float* pair = k + 32 * i;
            low = square(pair, low);
            high = square(pair + 16, high);
            low_odd = square(pair + 32, low_odd);
            high_odd = square(pair + 48, high_odd);
        }
        const Vec f = inverse_rms(S::add(low, low_odd), 1.0f);
        const Vec g = inverse_rms(S::add(high, high_odd), 1.0f);
        out += 2 * step * kTile;
        for (int i = 0; i < d; i += 2, k += 64) {
            S::store_pairs(out + 16 * i, S::mul(S::load(k), f), S::mul(S::load(k + 32), f));
            S::store_pairs(out + kTile + 16 * i, S::mul(S::load(k + 16), g),
                           S::mul(S::load(k + 48), g));
        }
    }

    // q (32 tokens, d) → A
    static IMAGEN_INLINE void queries(const float* q, float scale, Scalar* out) {
        for (int t = 0; t < 32; t += 16, q += 16 * d, out += 16 * d) {
            Vec squares[16];
            for (int i = 0; i < 16; ++i) {
                const Vec a = S::load(q + i * d), b = S::load(q + i * d + 16);
                squares[i] = S::fma(a, a, S::mul(b, b));
            }
            alignas(64) float factor[16];
            S::store(factor, inverse_rms(S::sums(squares), scale));
            for (int i = 0; i < 16; ++i) {
                const Vec f = S::set(factor[i]);
                S::store(out + i * d, S::mul(S::load(q + i * d), f),
                         S::mul(S::load(q + i * d + 16), f));
            }
        }
    }

    // v (32 tokens, d) → B
    static IMAGEN_INLINE void values(int step, const float* v, Scalar* out) {
        out += step * kTile;
        for (int t = 0; t < 32; t += 2, v += 2 * d, out += 32) {
            S::store_pairs(out, S::load(v), S::load(v + d));
            S::store_pairs(out + 2 * kTile, S::load(v + 16), S::load(v + d + 16));
        }
    }

private:
    static IMAGEN_INLINE Vec square(const float* p, Vec sum) {
        const Vec a = S::load(p);
        return S::fma(a, a, sum);
    }
    // scale / rms of d numbers, from the sum of their squares
    static IMAGEN_INLINE Vec inverse_rms(Vec squares, float scale) {
        const Vec mean = S::fma(squares, S::set(1.0f / d), S::set(1e-6f));
        return S::mul(S::reciprocal_root(mean), S::set(scale));
    }
};

}  // namespace imagen_fast::cpu
