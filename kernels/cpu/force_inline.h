// What is compiled once per instruction set must never be merged by the linker with a copy compiled
// for another one. Micro-kernel sets are therefore in an unnamed namespace, so that templates over
// them belong to one file; inline functions that are no such templates are forced inline.
#pragma once

#if defined(__GNUC__)
#define IMAGEN_INLINE inline __attribute__((always_inline))
#define IMAGEN_NOINLINE __attribute__((noinline))
#define IMAGEN_RESTRICT __restrict__
#define IMAGEN_PREFETCH(p) __builtin_prefetch(p)  // a cache line
#define IMAGEN_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)  // into the second cache
#else
#define IMAGEN_INLINE inline
#define IMAGEN_NOINLINE
#define IMAGEN_RESTRICT
#define IMAGEN_PREFETCH(p)
#define IMAGEN_PREFETCH_FAR(p)
#endif
