// What is read a band later, and what is written soon, comes into the second cache beside products: a
// layer's planes of a batch are larger than that.
#pragma once

#include <cstddef>

#include "../cpu/force_inline.h"

namespace imagen_fast::cpu {

constexpr int kReadAhead = 300, kWrittenAhead = 64;  // pixels

// `p` is a pixel; what lies beyond a plane's end is asked for in vain.
template <class Scalar>
IMAGEN_INLINE void ask_ahead(const Scalar* p, int channels, int pixels) {
    constexpr int line = 64 / sizeof(Scalar);
    for (int i = 0; i < channels; i += line) {
        IMAGEN_PREFETCH_FAR(p + static_cast<std::ptrdiff_t>(pixels) * channels + i);
    }
}

}  // namespace imagen_fast::cpu
