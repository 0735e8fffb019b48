// What the module imagen_fast._native has for training.
#pragma once

#include <pybind11/pybind11.h>

namespace imagen_fast {

void bind_training(pybind11::module_&);

}  // namespace imagen_fast
