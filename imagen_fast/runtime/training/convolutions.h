// What `Training` of the module imagen_fast._native has for 3×3 convolutions.
#pragma once

#include <pybind11/pybind11.h>

#include "runner.h"

namespace imagen_fast {

void bind_convolutions(pybind11::class_<TrainingRunner>&);

}  // namespace imagen_fast
