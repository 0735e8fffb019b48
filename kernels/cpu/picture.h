// Samples of a picture as floats: uint8 / 255, or float as it is.
#pragma once

#include <cstdint>

#include "op.h"

namespace imagen_fast::cpu {

// The offset is in samples.
IMAGEN_INLINE float sample(const Args& args, std::ptrdiff_t offset) {
    return args.bytes ? static_cast<float>(static_cast<const std::uint8_t*>(args.image)[offset]) /
                            255.0f
                      : static_cast<const float*>(args.image)[offset];
}

}  // namespace imagen_fast::cpu
