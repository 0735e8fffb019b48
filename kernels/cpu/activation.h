// 2^x and SiLU on vectors.
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

// x / (1 + e^-x). Beyond ±80 the exponential is clamped, where it could leave the floats: there
// the result is x, or below 1e-32.
template <class S>
IMAGEN_INLINE typename S::Vec silu(typename S::Vec x) {
    typename S::Vec t = S::mul(x, S::set(-kLog2e));
    if constexpr (!S::saturates) {
        t = S::min(S::set(115.0f), S::max(S::set(-115.0f), t));
    }
    return S::mul(x, S::reciprocal(S::add(exp2_within<S>(t), S::set(1.0f))));
}

}  // namespace imagen_fast::cpu
