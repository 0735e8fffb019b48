// A row of elements two vectors at a time, which are stored together.
#pragma once

#include "../cpu/force_inline.h"

namespace imagen_fast::cpu {

// pair(i) for every two vectors from element i on, last(i) for one that is left.
template <class S, class Pair, class Last>
IMAGEN_INLINE void for_pairs(int elements, const Pair& pair, const Last& last) {
    int i = 0;
    for (; i + 2 * S::lanes <= elements; i += 2 * S::lanes) {
        pair(i);
    }
    if (i < elements) {
        last(i);
    }
}

}  // namespace imagen_fast::cpu
