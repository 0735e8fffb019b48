// Samples of a picture as floats: uint8 / 255, or float as it is.
#pragma once

#include <cstdint>

#include "op.h"

namespace imagen_fast::cpu {

// `count` samples from `offset` on, then zeros; count ≤ S::lanes.
template <class S>
IMAGEN_INLINE typename S::Vec load_samples(const Args& args, std::ptrdiff_t offset, int count) {
    if (args.bytes) {
        const auto* bytes = static_cast<const std::uint8_t*>(args.image) + offset;
        return S::mul(S::load_bytes(bytes, count), S::set(1.0f / 255.0f));
    }
    return S::load_some(static_cast<const float*>(args.image) + offset, count);
}

// The first `count` of v, which are in [0, 1], to the picture out.
template <class S>
IMAGEN_INLINE void store_samples(const Args& args, std::ptrdiff_t offset, typename S::Vec v,
                                 int count) {
    if (args.bytes) {
        S::store_bytes(static_cast<std::uint8_t*>(args.picture) + offset,
                       S::mul(v, S::set(255.0f)), count);
    } else {
        S::store_some(static_cast<float*>(args.picture) + offset, v, count);
    }
}

}  // namespace imagen_fast::cpu
