// Which pixels stand for those beyond a picture's border.
#pragma once

#include "op.h"

namespace imagen_fast::cpu {

// The pixel in [0, size) that stands for pixel i, or -1 for zeros.
IMAGEN_INLINE int stand_in(int i, int size, Padding padding) {
    if (i >= 0 && i < size) {
        return i;
    }
    switch (padding) {
        case Padding::edge:
            return i < 0 ? 0 : size - 1;
        case Padding::reflect: {  // to and fro between the ends
            const int period = size > 1 ? 2 * (size - 1) : 1;
            const int place = (i % period + period) % period;
            return place < period - place ? place : period - place;
        }
        default:
            return -1;
    }
}

// Pixels before the one that a window is the result of.
IMAGEN_INLINE int before(const Kernel& window) {
    return window.padding == Padding::valid ? 0 : (window.size - 1) / 2;
}

}  // namespace imagen_fast::cpu
