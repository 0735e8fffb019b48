// Micro-kernel set in plain C++: four lanes that compilers turn into whatever vectors exist.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

struct Generic {
    using Scalar = float;  // what planes and packed weights hold
    struct Vec {
        float lane[4];
    };
    using Pack = Vec;                       // a GEMM operand
    static constexpr int lanes = 4;         // floats in a Vec
    static constexpr int depth = 1;         // products that one `dot` sums per lane
    static constexpr int k_multiple = 1;    // of a GEMM's sum, its operands padded with zeros
    static constexpr int row_multiple = 1;  // of a GEMM's rows that there must be memory for
    static constexpr bool direct = false;   // 3×3 convolutions by direct_conv3x3.h, else by winograd.h
    static constexpr bool splits = false;   // has load_even and load_odd
    static constexpr bool saturates = false;  // `scale` and `reciprocal` bear any exponent
    static constexpr bool widens = false;
    struct Session {};                      // lives while a thread computes
    static constexpr int max_columns = 2;   // vectors of a GEMM register tile
    static constexpr int tile_rows(int columns) { return columns == 1 ? 6 : 4; }

#define IMAGEN_LANES(expression)               \
    Vec r;                                     \
    for (int i = 0; i < lanes; ++i) {          \
        r.lane[i] = (expression);              \
    }                                          \
    return r

    static IMAGEN_INLINE Vec zero() { return Vec{}; }
    static IMAGEN_INLINE Vec set(float a) { IMAGEN_LANES(a); }
    static IMAGEN_INLINE Vec load(const float* p) { IMAGEN_LANES(p[i]); }
    static IMAGEN_INLINE void store(float* p, Vec a) { std::memcpy(p, a.lane, sizeof a.lane); }
    static IMAGEN_INLINE Vec add(Vec a, Vec b) { IMAGEN_LANES(a.lane[i] + b.lane[i]); }
    static IMAGEN_INLINE Vec sub(Vec a, Vec b) { IMAGEN_LANES(a.lane[i] - b.lane[i]); }
    static IMAGEN_INLINE Vec mul(Vec a, Vec b) { IMAGEN_LANES(a.lane[i] * b.lane[i]); }
    static IMAGEN_INLINE Vec fma(Vec a, Vec b, Vec c) {
        IMAGEN_LANES(a.lane[i] * b.lane[i] + c.lane[i]);
    }
    // If b is NaN, so is the result: clamps must not hide it.
    static IMAGEN_INLINE Vec min(Vec a, Vec b) {
        IMAGEN_LANES(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
    }
    static IMAGEN_INLINE Vec max(Vec a, Vec b) {
        IMAGEN_LANES(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
    }
    static IMAGEN_INLINE Vec reciprocal(Vec a) { IMAGEN_LANES(1.0f / a.lane[i]); }
    // x - ⌊x⌋, for |x| < 2^22
    static IMAGEN_INLINE Vec fraction(Vec x) { return sub(x, floor(x)); }
    // a · 2^⌊x⌋ for x in [-126, 128).
    static IMAGEN_INLINE Vec scale(Vec a, Vec x) {
        const Vec n = floor(x);
        Vec r;
        for (int i = 0; i < lanes; ++i) {
            // NaN has no integer; it is carried by `a`.
            const float exponent = n.lane[i] == n.lane[i] ? n.lane[i] : 0.0f;
            const std::int32_t bits = (static_cast<std::int32_t>(exponent) + 127) * (1 << 23);
            float power;
            std::memcpy(&power, &bits, sizeof power);
            r.lane[i] = a.lane[i] * power;
        }
        return r;
    }
    static IMAGEN_INLINE float sum(Vec a) {
        return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]);
    }
    static IMAGEN_INLINE float maximum(Vec a) {
        float r = a.lane[0];
        for (int i = 1; i < lanes; ++i) {
            r = r > a.lane[i] ? r : a.lane[i];
        }
        return r;
    }
    // Element i is a[which[i]].
    static IMAGEN_INLINE Vec pick(Vec a, const std::int32_t* which) {
        IMAGEN_LANES(a.lane[which[i]]);
    }
    // `count` elements in memory, at most as many as there are lanes; the others are zero.
    static IMAGEN_INLINE Vec load_some(const float* p, int count) {
        IMAGEN_LANES(i < count ? p[i] : 0.0f);
    }
    static IMAGEN_INLINE void store_some(float* p, Vec a, int count) {
        std::memcpy(p, a.lane, count * sizeof *p);
    }
    static IMAGEN_INLINE Vec load_bytes(const std::uint8_t* p, int count) {
        IMAGEN_LANES(i < count ? static_cast<float>(p[i]) : 0.0f);
    }
    // Rounded to the nearest, ties to even; a in [0, 255].
    static IMAGEN_INLINE void store_bytes(std::uint8_t* p, Vec a, int count) {
        const Vec rounded = round(a);
        for (int i = 0; i < count; ++i) {
            p[i] = rounded.lane[i] >= 0 ? static_cast<std::uint8_t>(rounded.lane[i]) : 0;
        }
    }

    static IMAGEN_INLINE Pack load_pack(const Scalar* p) { return load(p); }
    static IMAGEN_INLINE Pack broadcast(const Scalar* p) { return set(*p); }
    static IMAGEN_INLINE Vec dot(Vec sum, Pack a, Pack b) { return fma(a, b, sum); }
    // A lanes×lanes block of 32-bit words: out[j][i] = in[i][j].
    static IMAGEN_INLINE void transpose(const Scalar* in, std::ptrdiff_t in_row, Scalar* out,
                                        std::ptrdiff_t out_row) {
        for (int i = 0; i < lanes; ++i) {
            for (int j = 0; j < lanes; ++j) {
                out[j * out_row + i] = in[i * in_row + j];
            }
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
    // To the nearest integer, for |a| < 2^22.
    static IMAGEN_INLINE Vec round(Vec a) {
        const float magic = 12582912.0f;  // 1.5 · 2^23
        IMAGEN_LANES((a.lane[i] + magic) - magic);
    }
    static IMAGEN_INLINE Vec floor(Vec a) {
        const Vec near = round(a);
        IMAGEN_LANES(near.lane[i] > a.lane[i] ? near.lane[i] - 1.0f : near.lane[i]);
    }

#undef IMAGEN_LANES
};

}  // namespace
}  // namespace imagen_fast::cpu
