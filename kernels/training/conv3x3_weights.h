// The weights of a 3×3 convolution, as PyTorch holds them in `channels_last`.
#pragma once

#include <cstddef>

#include "../cpu/force_inline.h"

namespace imagen_fast::cpu {

struct Turned {};  // weights turned by half a circle, with the roles of in and out exchanged

// Read only while an operator is made.
struct Conv3x3Weights {
    const float* weight;  // (out, 3, 3, in)
    const float* bias;    // (out)
    int in, out;          // in: a multiple of 16
    const int* order = nullptr;  // which of `weight` each output channel is; null: as they are

    IMAGEN_INLINE int ordered(int j) const { return order ? order[j] : j; }
    // (in) of output channel j and a neighbour, counted row by row.
    IMAGEN_INLINE const float* at(int j, int neighbour) const {
        return weight + (static_cast<std::ptrdiff_t>(ordered(j)) * 9 + neighbour) * in;
    }
};

}  // namespace imagen_fast::cpu
