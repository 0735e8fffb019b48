#include "op.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "../cpu/simd_avx2.h"
#include "training_set.h"
#endif

namespace imagen_fast::cpu {

const TrainingSet* training_avx2() {
#if defined(__AVX2__) && defined(__FMA__)
    static constexpr TrainingKernels<Avx2> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
