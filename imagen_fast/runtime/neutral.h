// Neutral pixels stay neutral: what imagen_fast/image/neutral.py does.
#pragma once

#include "request.h"

namespace imagen_fast {

// Makes results neutral, in place, where all input pixels nearby are. `in` is
// (N, H, W, 3), `out` (N, s·H, s·W, 3), both of uint8 if `bytes`, else of float. Up to
// `threads` threads share what is large.
void keep_neutral(const Shape&, int scale, const void* in, void* out, bool bytes, int threads);

}  // namespace imagen_fast
