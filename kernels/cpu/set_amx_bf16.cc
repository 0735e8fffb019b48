#include "op.h"

#if defined(__AVX512VBMI__) && defined(IMAGEN_FAST_EMULATE_AMX)
#include "amx_emulated.h"
#define IMAGEN_FAST_TILES AmxEmulated
#elif defined(__AVX512VBMI__) && defined(__AMX_BF16__)
#include "amx_tiles.h"
#define IMAGEN_FAST_TILES AmxTiles
#endif

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
