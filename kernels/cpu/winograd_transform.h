// The transforms of F(4×4, 3×3): A, B and G of Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A, of one side and of a
// tile, and those back of what a loss changes by.
#pragma once

#include <cstddef>

#include "force_inline.h"

namespace imagen_fast::cpu {

// Interpolation points 0, ∞, ±p, ±q with pq = 1 and both close to 1: the matrices' entries stay
// small, and with them the rounding errors, which are least near this p. The order is that of how
// much an error in a component counts in the sums: winograd_rounding.h begins at the last.
template <class S>
struct WinogradTransform {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int m = 4, a = m + 2;  // sides of the output and the input tile
    static constexpr double p = 0.625, q = 1.6, pp = p * p, qq = q * q;
    static constexpr double at_p = 1 / (2 * pp * (pp - qq)), at_q = 1 / (2 * qq * (qq - pp));

    static void filter(double g0, double g1, double g2, double* r) {
        r[0] = g0;  // by pp · qq
        r[1] = g2;
        r[2] = (g0 + p * g1 + pp * g2) * at_p;
        r[3] = (g0 - p * g1 + pp * g2) * at_p;
        r[4] = (g0 + q * g1 + qq * g2) * at_q;
        r[5] = (g0 - q * g1 + qq * g2) * at_q;
    }
    static IMAGEN_INLINE void input(const Vec* d, Vec* r) {
        const Vec both = S::set(static_cast<float>(-(pp + qq)));
        r[0] = S::add(S::fma(d[2], both, d[4]), d[0]);  // times pq, which is 1
        r[1] = S::add(S::fma(d[3], both, d[5]), d[1]);
        pair(d, p, qq, r + 2);
        pair(d, q, pp, r + 4);
    }
    static IMAGEN_INLINE void output(const Vec* y, Vec* r) {
        const Vec sum_p = S::add(y[2], y[3]), difference_p = S::sub(y[2], y[3]);
        const Vec sum_q = S::add(y[4], y[5]), difference_q = S::sub(y[4], y[5]);
        const auto combine = [](Vec u, double at_p, Vec v, double at_q) {
            return S::fma(u, S::set(static_cast<float>(at_p)),
                          S::mul(v, S::set(static_cast<float>(at_q))));
        };
        r[0] = S::add(y[0], S::add(sum_p, sum_q));
        r[1] = combine(difference_p, p, difference_q, q);
        r[2] = combine(sum_p, pp, sum_q, qq);
        r[3] = S::add(combine(difference_p, p * pp, difference_q, q * qq), y[1]);
    }

    // Bᵀ d B of a vector of channels: 6×6 pixels → 36 vectors, `step` elements apart.
    template <class Load>
    static IMAGEN_INLINE void input_tile(const Scalar* IMAGEN_RESTRICT in, std::ptrdiff_t row,
                                         std::ptrdiff_t pixel, Scalar* IMAGEN_RESTRICT out,
                                         std::ptrdiff_t step, Load load) {
        Vec columns[a][a];
        for (int j = 0; j < a; ++j) {
            Vec d[a], r[a];
            for (int i = 0; i < a; ++i) {
                d[i] = load(in + i * row + j * pixel);
            }
            input(d, r);
            for (int i = 0; i < a; ++i) {
                columns[i][j] = r[i];
            }
        }
        for (int i = 0; i < a; ++i) {
            Vec r[a];
            input(columns[i], r);
            for (int j = 0; j < a; ++j) {
                S::store(out + (i * a + j) * step, r[j]);
            }
        }
    }

    // With a dash for what a loss changes by: (G g Gᵀ)' = A Y' Aᵀ ⊙ Bᵀ d B, g' = Gᵀ (G g Gᵀ)' G.

    // A y of one side, 4 → 6, and Gᵀ r, 6 → 3.
    static IMAGEN_INLINE void output_gradient(const Vec* y, Vec* r) {
        r[0] = y[0];
        r[1] = y[3];
        powers(y, p, r + 2);
        powers(y, q, r + 4);
    }
    static IMAGEN_INLINE void filter_gradient(const Vec* r, Vec* g) {
        const Vec sum_p = S::mul(S::add(r[2], r[3]), set(at_p));
        const Vec sum_q = S::mul(S::add(r[4], r[5]), set(at_q));
        g[0] = S::add(r[0], S::add(sum_p, sum_q));
        g[1] = S::fma(S::sub(r[2], r[3]), set(p * at_p), S::mul(S::sub(r[4], r[5]), set(q * at_q)));
        g[2] = S::fma(sum_p, set(pp), S::fma(sum_q, set(qq), r[1]));
    }
    // A y Aᵀ of a vector of channels, y(i, j) being that of a pixel → 36 vectors, `step` apart.
    template <class Pixel>
    static IMAGEN_INLINE void output_gradient_tile(const Pixel& y, float* IMAGEN_RESTRICT out,
                                                   std::ptrdiff_t step) {
        Vec columns[a][m];
        for (int j = 0; j < m; ++j) {
            Vec d[m], r[a];
            for (int i = 0; i < m; ++i) {
                d[i] = y(i, j);
            }
            output_gradient(d, r);
            for (int i = 0; i < a; ++i) {
                columns[i][j] = r[i];
            }
        }
        for (int i = 0; i < a; ++i) {
            Vec r[a];
            output_gradient(columns[i], r);
            for (int j = 0; j < a; ++j) {
                S::store(out + (i * a + j) * step, r[j]);
            }
        }
    }
    // Gᵀ r G of 36 vectors, `step` apart → (3, 3).
    static IMAGEN_INLINE void filter_gradient_tile(const float* IMAGEN_RESTRICT r,
                                                   std::ptrdiff_t step, Vec (&g)[3][3]) {
        Vec columns[3][a];
        for (int j = 0; j < a; ++j) {
            Vec d[a], side[3];
            for (int i = 0; i < a; ++i) {
                d[i] = S::load(r + (i * a + j) * step);
            }
            filter_gradient(d, side);
            for (int i = 0; i < 3; ++i) {
                columns[i][j] = side[i];
            }
        }
        for (int i = 0; i < 3; ++i) {
            filter_gradient(columns[i], g[i]);
        }
    }

private:
    static IMAGEN_INLINE Vec set(double value) { return S::set(static_cast<float>(value)); }
    // y0 ± at · y1 + at² · y2 ± at³ · y3
    static IMAGEN_INLINE void powers(const Vec* y, double at, Vec* r) {
        const Vec even = S::fma(y[2], set(at * at), y[0]);
        const Vec odd = S::mul(S::fma(y[3], set(at * at), y[1]), set(at));
        r[0] = S::add(even, odd);
        r[1] = S::sub(even, odd);
    }
    // d4 - other · d2 ± at · (d3 - other · d1)
    static IMAGEN_INLINE void pair(const Vec* d, double at, double other, Vec* r) {
        const Vec minus = S::set(static_cast<float>(-other));
        const Vec even = S::fma(d[2], minus, d[4]);
        const Vec odd = S::fma(d[1], minus, d[3]);
        r[0] = S::fma(odd, S::set(static_cast<float>(at)), even);
        r[1] = S::fma(odd, S::set(static_cast<float>(-at)), even);
    }
};

}  // namespace imagen_fast::cpu
