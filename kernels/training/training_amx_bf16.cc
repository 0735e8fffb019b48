#include "op.h"

#if defined(__AVX512VBMI__) && defined(IMAGEN_FAST_EMULATE_AMX)
#include "../cpu/amx_emulated.h"
#define IMAGEN_FAST_TILES AmxEmulated
#elif defined(__AVX512VBMI__) && defined(__AMX_BF16__)
#include "../cpu/amx_tiles.h"
#define IMAGEN_FAST_TILES AmxTiles
#endif

#ifdef IMAGEN_FAST_TILES
#include "../cpu/simd_amx.h"
#include "training_set.h"
#endif

namespace imagen_fast::cpu {

const TrainingSet* training_amx_bf16() {
#ifdef IMAGEN_FAST_TILES
    static constexpr TrainingKernels<Amx<IMAGEN_FAST_TILES>> set{};
    return &set;
#else
    return nullptr;
#endif
}

}  // namespace imagen_fast::cpu
