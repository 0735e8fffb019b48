#include "op.h"

namespace imagen_fast::cpu {

Op::~Op() = default;
KernelSet::~KernelSet() = default;

}  // namespace imagen_fast::cpu
