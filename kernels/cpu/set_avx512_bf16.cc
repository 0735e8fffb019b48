#include "op.h"

#if defined(__AVX512BF16__)
#include "kernel_set.h"
#include "simd_avx512_bf16.h"
#endif

namespace imagen_fast::cpu {

const KernelSet* avx512_bf16() {
#if defined(__AVX512BF16__)
    static constexpr Kernels<Avx512Bf16> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
