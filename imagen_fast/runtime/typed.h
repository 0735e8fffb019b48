// Samples of which only a flag says whether they are bytes or floats.
#pragma once

#include <cstdint>

namespace imagen_fast {

// work(in, out), both of uint8 if `bytes`, else of float.
template <class Work>
void typed(const void* in, void* out, bool bytes, const Work& work) {
    if (bytes) {
        work(static_cast<const std::uint8_t*>(in), static_cast<std::uint8_t*>(out));
    } else {
        work(static_cast<const float*>(in), static_cast<float*>(out));
    }
}

}  // namespace imagen_fast
