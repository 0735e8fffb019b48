#include "op.h"

#if defined(__AVX512BF16__)
#include "../cpu/simd_avx512_bf16.h"
#include "training_set.h"
#endif

namespace imagen_fast::cpu {

const TrainingSet* training_avx512_bf16() {
#if defined(__AVX512BF16__)
    static constexpr TrainingKernels<Avx512Bf16> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
