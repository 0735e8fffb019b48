// What is flat far around stays as it is: what imagen_fast/image/flat.py does, which says why.
#pragma once

#include "request.h"

namespace imagen_fast {

// Makes results the input again, in place, where that is flat. Both are (N, H, W, 3), of uint8 if
// `bytes`, else of float. Up to `threads` threads share what is large.
void keep_flat(const Shape&, const void* in, void* out, bool bytes, int threads);

}  // namespace imagen_fast
