#include "op.h"

namespace imagen_fast::cpu {

GradientOp::~GradientOp() = default;

SpectrumOp::~SpectrumOp() = default;

void TrainingSet::anchor() const {}

}  // namespace imagen_fast::cpu
