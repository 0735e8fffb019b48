// Which 3×3 convolution a set uses.
#pragma once

#include "direct_conv3x3.h"
#include "winograd.h"

namespace imagen_fast::cpu {

template <class S, bool direct>
struct Conv3x3Of {
    using Type = Winograd3x3<S>;
};
template <class S>
struct Conv3x3Of<S, true> {
    using Type = DirectConv3x3<S>;
};

template <class S>
using Conv3x3 = typename Conv3x3Of<S, S::direct>::Type;

}  // namespace imagen_fast::cpu
