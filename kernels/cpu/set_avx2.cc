#include "op.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernel_set.h"
#include "simd_avx2.h"
#endif

namespace imagen_fast::cpu {

const KernelSet* avx2_fp32() {
#if defined(__AVX2__) && defined(__FMA__)
    static constexpr Kernels<Avx2> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
