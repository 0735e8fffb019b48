#include "op.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "../cpu/simd_avx512_widened.h"
#include "training_set.h"
#endif

namespace imagen_fast::cpu {

const TrainingSet* training_avx512_widened() {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    static constexpr TrainingKernels<Avx512Widened> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
