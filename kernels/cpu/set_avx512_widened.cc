#include "op.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "kernel_set.h"
#include "simd_avx512_widened.h"
#endif

namespace imagen_fast::cpu {

const KernelSet* avx512_widened() {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    static constexpr Kernels<Avx512Widened> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
