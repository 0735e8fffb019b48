// Colours of an enlarged picture stay near those of the picture: what
// imagen_fast/image/color_bounds.py does, which says why.
#pragma once

#include "request.h"

namespace imagen_fast {

// Moves results, in place, to within the bounds that the input has nearby. `in` is (N, H, W, 3),
// `out` (N, s·H, s·W, 3), both of uint8 if `bytes`, else of float. Up to `threads` threads share
// what is large.
void bound_colors(const Shape&, int scale, const void* in, void* out, bool bytes, int threads);

}  // namespace imagen_fast
