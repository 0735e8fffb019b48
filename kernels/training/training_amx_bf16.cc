#include "../cpu/amx_unit.h"
#include "op.h"

#ifdef IMAGEN_FAST_TILES
#include "amx_add_product.h"
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
