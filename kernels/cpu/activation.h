// 2^x and activations on vectors.
#pragma once

#include "force_inline.h"

namespace imagen_fast::cpu {

constexpr float kLog2e = 1.44269504088896341f;

// 2^x for x in [-126, 126]. 2^x = 2^⌊x⌋ · p(x - ⌊x⌋), p the minimax polynomial for the relative
// error on [0, 1]: good to 2e-9, and so the result to a few units in the last place, or to 8e-5
// where results are stored as bfloat16, which rounds by up to 4e-3. NaN stays NaN.
template <class S>
IMAGEN_INLINE typename S::Vec exp2_within(typename S::Vec x) {
    const typename S::Vec f = S::fraction(x);
    typename S::Vec p;
    if constexpr (sizeof(typename S::Scalar) == 2) {
        p = S::fma(S::set(7.802452264e-2f), f, S::set(2.260671554e-1f));
        p = S::fma(p, f, S::set(6.958335405e-1f));
        p = S::fma(p, f, S::set(9.999252186e-1f));
    } else {
        p = S::fma(S::set(2.170225546e-4f), f, S::set(1.243968783e-3f));
        p = S::fma(p, f, S::set(9.678840996e-3f));
        p = S::fma(p, f, S::set(5.548334198e-2f));
        p = S::fma(p, f, S::set(2.402298363e-1f));
        p = S::fma(p, f, S::set(6.931469838e-1f));
        p = S::fma(p, f, S::set(1.000000002f));
    }
    return S::scale(p, x);
}

// 1 / (1 + e^-x). Beyond ±80 the exponential is clamped, where it could leave the floats.
template <class S>
IMAGEN_INLINE typename S::Vec sigmoid(typename S::Vec x) {
    typename S::Vec t = S::mul(x, S::set(-kLog2e));
    if constexpr (!S::saturates) {
        t = S::min(S::set(115.0f), S::max(S::set(-115.0f), t));
    }
    return S::reciprocal(S::add(exp2_within<S>(t), S::set(1.0f)));
}

// x · sigmoid(x): beyond ±80 x, or below 1e-32.
template <class S>
IMAGEN_INLINE typename S::Vec silu(typename S::Vec x) {
    return S::mul(x, sigmoid<S>(x));
}

// 2 · sigmoid(2x) - 1
template <class S>
IMAGEN_INLINE typename S::Vec tanh(typename S::Vec x) {
    return S::fma(sigmoid<S>(S::add(x, x)), S::set(2.0f), S::set(-1.0f));
}

// x · (1 + tanh(u)) / 2 = x · sigmoid(2u), u = √(2/π) · (x + 0.044715 · x³)
template <class S>
IMAGEN_INLINE typename S::Vec gelu_tanh(typename S::Vec x) {
    const typename S::Vec inner =
        S::fma(S::mul(x, x), S::set(2 * 0.7978845608f * 0.044715f), S::set(2 * 0.7978845608f));
    return S::mul(x, sigmoid<S>(S::mul(x, inner)));
}

// x · tanh(log(1 + e^x)) = x · n / (n + 2) with n = e^x · (e^x + 2); beyond 20 that is x.
template <class S>
IMAGEN_INLINE typename S::Vec mish(typename S::Vec x) {
    const typename S::Vec below = S::max(S::set(-80.0f), S::min(S::set(20.0f), x));
    const typename S::Vec e = exp2_within<S>(S::mul(below, S::set(kLog2e)));
    const typename S::Vec n = S::mul(e, S::add(e, S::set(2.0f)));
    return S::mul(x, S::mul(n, S::reciprocal(S::add(n, S::set(2.0f)))));
}

// x · clamp(x / 6 + 0.5, 0, 1)
template <class S>
IMAGEN_INLINE typename S::Vec hard_swish(typename S::Vec x) {
    const typename S::Vec gate = S::fma(x, S::set(1.0f / 6), S::set(0.5f));
    return S::mul(x, S::min(S::set(1.0f), S::max(S::zero(), gate)));
}

// x above 0, slope · (e^x - 1) below
template <class S>
IMAGEN_INLINE typename S::Vec elu(typename S::Vec x, float slope) {
    const typename S::Vec below = S::max(S::set(-80.0f), S::min(S::zero(), x));
    const typename S::Vec e = exp2_within<S>(S::mul(below, S::set(kLog2e)));
    return S::fma(S::sub(e, S::set(1.0f)), S::set(slope), S::max(S::zero(), x));
}

// x · (1 + erf(x / √2)) / 2. With z = |x| / √2 and t = 1 / (1 + p z), 1 - erf(z) is
// (a1 t + … + a5 t⁵) e^(-z²), good to 1.5e-7 (Abramowitz and Stegun 7.1.26).
template <class S>
IMAGEN_INLINE typename S::Vec gelu(typename S::Vec x) {
    using Vec = typename S::Vec;
    const Vec magnitude = S::max(x, S::sub(S::zero(), x));
    const Vec z = S::min(S::set(8.0f), S::mul(magnitude, S::set(0.70710678f)));
    const Vec t = S::reciprocal(S::fma(z, S::set(0.3275911f), S::set(1.0f)));
    Vec p = S::fma(S::set(1.061405429f), t, S::set(-1.453152027f));
    p = S::fma(p, t, S::set(1.421413741f));
    p = S::fma(p, t, S::set(-0.284496736f));
    p = S::mul(S::fma(p, t, S::set(0.254829592f)), t);
    const Vec rest = S::mul(p, exp2_within<S>(S::mul(S::mul(z, z), S::set(-kLog2e))));
    // Above 0: x - x · rest / 2; below: x · rest / 2.
    return S::sub(S::max(x, S::zero()), S::mul(S::mul(magnitude, S::set(0.5f)), rest));
}

}  // namespace imagen_fast::cpu
