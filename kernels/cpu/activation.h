// 2^x and SiLU on vectors.
#pragma once

#include "force_inline.h"

namespace imagen_fast::cpu {

constexpr float kLog2e = 1.44269504088896341f;

// 2^x for x in [-126, 126]. 2^x = 2^round(x) · p(x - round(x)), p the minimax polynomial for the
// relative error on [-1/2, 1/2]: good to 2e-9, and so the result to a few units in the last place,
// or to 8e-5 where results are stored as bfloat16, which rounds by up to 4e-3. NaN stays NaN.
template <class S>
IMAGEN_INLINE typename S::Vec exp2_within(typename S::Vec x) {
    const typename S::Vec n = S::round(x);
    const typename S::Vec f = S::sub(x, n);
    typename S::Vec p;
    if constexpr (sizeof(typename S::Scalar) == 2) {
        p = S::fma(S::set(5.517166906e-2f), f, S::set(2.426111222e-1f));
        p = S::fma(p, f, S::set(6.932609855e-1f));
        p = S::fma(p, f, S::set(9.999280735e-1f));
    } else {
        p = S::fma(S::set(1.534580020e-4f), f, S::set(1.339993162e-3f));
        p = S::fma(p, f, S::set(9.618489005e-3f));
        p = S::fma(p, f, S::set(5.550328776e-2f));
        p = S::fma(p, f, S::set(2.402264689e-1f));
        p = S::fma(p, f, S::set(6.931472057e-1f));
        p = S::fma(p, f, S::set(1.0f));
    }
    return S::scale(p, n);
}

// x / (1 + e^-x). Beyond ±80 the exponential is clamped: there the result is x, or below 1e-32.
template <class S>
IMAGEN_INLINE typename S::Vec silu(typename S::Vec x) {
    typename S::Vec t = S::mul(x, S::set(-kLog2e));
    t = S::min(S::set(115.0f), S::max(S::set(-115.0f), t));
    return S::mul(x, S::reciprocal(S::add(exp2_within<S>(t), S::set(1.0f))));
}

}  // namespace imagen_fast::cpu
