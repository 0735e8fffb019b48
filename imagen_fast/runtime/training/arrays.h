// Arrays that Python hands to the kernels for training, checked: no copies.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "../../../kernels/cpu/plane.h"

namespace imagen_fast {

// (N, H, W, C), C a multiple of `multiple`: in "bf16" as int16, in "fp32" as float32. Throws
// BackendError.
cpu::Plane plane_of(const pybind11::array&, const char* name, const std::string& precision,
                    int multiple = cpu::kChannelMultiple);

// Throws BackendError.
void expect_same(const cpu::Plane&, const cpu::Plane&, const char* names);

// float32 of a shape. Throws BackendError.
float* floats(const pybind11::array&, const char* name, const std::vector<pybind11::ssize_t>& shape);

}  // namespace imagen_fast
