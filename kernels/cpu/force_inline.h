// Inline functions that are compiled once per instruction set must never be merged by the linker
// with a copy compiled for another one. Those that are not templates over the instruction set are
// therefore forced inline.
#pragma once

#if defined(__GNUC__)
#define IMAGEN_INLINE inline __attribute__((always_inline))
#define IMAGEN_RESTRICT __restrict__
#else
#define IMAGEN_INLINE inline
#define IMAGEN_RESTRICT
#endif
