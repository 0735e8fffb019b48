// The one-dimensional transforms of F(4, 3): A, B and G of Y = Aᵀ [ (G g) ⊙ (Bᵀ d) ].
#pragma once

#include "force_inline.h"

namespace imagen_fast::cpu {

// Interpolation points 0, ∞, ±p, ±q with pq = 1 and both close to 1: the matrices' entries stay
// small, and with them the rounding errors, which are least near this p. The order is that of how
// much an error in a component counts in the sums: winograd_rounding.h begins at the last.
template <class S>
struct WinogradTransform {
    using Vec = typename S::Vec;
    static constexpr double p = 0.625, q = 1.6, pp = p * p, qq = q * q;

    static void filter(double g0, double g1, double g2, double* r) {
        constexpr double at_p = 1 / (2 * pp * (pp - qq)), at_q = 1 / (2 * qq * (qq - pp));
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

private:
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
