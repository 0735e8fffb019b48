// Which pixels stand for those beyond a picture's border.
#pragma once

#include "op.h"

namespace imagen_fast::cpu {

constexpr int kNothing = -(1 << 30);  // neither a row nor a column

// The rows or columns of a plane that are there, those around a part of it among them.
struct Extent {
    int first, end;

    static IMAGEN_INLINE Extent rows(const Plane& x) { return {-x.above, x.height + x.below}; }
    static IMAGEN_INLINE Extent columns(const Plane& x) { return {-x.left, x.width + x.right}; }

    // The one that stands for row or column i, or kNothing for zeros.
    IMAGEN_INLINE int stand_in(int i, Padding padding) const {
        if (i >= first && i < end) {
            return i;
        }
        switch (padding) {
            case Padding::edge:
                return i < first ? first : end - 1;
            case Padding::reflect: {  // to and fro between the ends
                const int last = end - 1 - first, period = last > 0 ? 2 * last : 1;
                const int place = ((i - first) % period + period) % period;
                return first + (place < period - place ? place : period - place);
            }
            default:
                return kNothing;
        }
    }
};

// Pixels before the one that a window is the result of.
IMAGEN_INLINE int before(const Kernel& window) {
    return window.padding == Padding::valid ? 0 : (window.size - 1) / 2;
}

}  // namespace imagen_fast::cpu
