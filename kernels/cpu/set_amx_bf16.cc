#include "amx_unit.h"
#include "op.h"

#ifdef IMAGEN_FAST_TILES
#include "kernel_set.h"
#include "amx_window_attention.h"
#endif

namespace imagen_fast::cpu {

const KernelSet* amx_bf16() {
#ifdef IMAGEN_FAST_TILES
    static constexpr Kernels<Amx<IMAGEN_FAST_TILES>> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
