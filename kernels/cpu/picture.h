// Samples of a picture as floats: uint8 / 255, or float as it is.
#pragma once

#include <cstdint>

#include "force_inline.h"

namespace imagen_fast::cpu {

// `count` samples, at most S::lanes, then zeros.
template <class S>
IMAGEN_INLINE typename S::Vec load_samples(const std::uint8_t* p, int count) {
    return S::mul(S::load_bytes(p, count), S::set(1.0f / 255.0f));
}
template <class S>
IMAGEN_INLINE typename S::Vec load_samples(const float* p, int count) {
    return S::load_some(p, count);
}

// The first `count` of v, which are in [0, 1].
template <class S>
IMAGEN_INLINE void store_samples(std::uint8_t* p, typename S::Vec v, int count) {
    S::store_bytes(p, S::mul(v, S::set(255.0f)), count);
}
template <class S>
IMAGEN_INLINE void store_samples(float* p, typename S::Vec v, int count) {
    S::store_some(p, v, count);
}

}  // namespace imagen_fast::cpu
