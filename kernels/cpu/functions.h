// Functions of one number that no vector arithmetic is written for.
#pragma once

#include "op.h"

namespace imagen_fast::cpu {

// Of each of `count` numbers, in their place; `exponent` is that of power.
void apply(Activation, float exponent, float* values, int count);

}  // namespace imagen_fast::cpu
