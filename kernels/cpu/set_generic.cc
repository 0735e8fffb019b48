#include "kernel_set.h"
#include "simd_generic.h"

namespace imagen_fast::cpu {

const KernelSet* generic_fp32() {
    static constexpr Kernels<Generic> set{};
    return &set;
}

}  // namespace imagen_fast::cpu
