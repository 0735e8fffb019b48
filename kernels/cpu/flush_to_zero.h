// Subnormal numbers count as zero while kernels of x86's vector instructions compute: each would cost
// some hundred cycles, and the tails of exponentials are full of them.
#pragma once

#include <immintrin.h>

#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

class FlushToZero {
public:
    IMAGEN_INLINE FlushToZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlush); }
    IMAGEN_INLINE ~FlushToZero() { _mm_setcsr(before_); }
    FlushToZero(const FlushToZero&) = delete;
    FlushToZero& operator=(const FlushToZero&) = delete;

private:
    static constexpr unsigned kFlush = 0x8040;  // results, and operands

    unsigned before_;
};

}  // namespace
}  // namespace imagen_fast::cpu
