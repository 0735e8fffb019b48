#include "arrays.h"

#include <string>

#include "../error.h"
#include "runner.h"

namespace py = pybind11;

namespace imagen_fast {

cpu::Plane plane_of(const py::array& array, const char* name, const std::string& precision,
                    int multiple) {
    const bool halves = precision == "bf16";
    if (!(halves ? py::isinstance<py::array_t<std::int16_t>>(array)
                 : py::isinstance<py::array_t<float>>(array)) ||
        array.ndim() != 4 || !(array.flags() & py::array::c_style) || array.shape(3) % multiple) {
        throw BackendError(std::string(name) + " must be a C-contiguous array of " +
                           (halves ? "int16" : "float32") + ", (N, H, W, C), C a multiple of " +
                           std::to_string(multiple));
    }
    return borderless(const_cast<void*>(array.data()), static_cast<int>(array.shape(0)),
                      static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2)),
                      static_cast<int>(array.shape(3)), static_cast<int>(array.itemsize()));
}

void expect_same(const cpu::Plane& a, const cpu::Plane& b, const char* names) {
    if (a.images != b.images || a.height != b.height || a.width != b.width ||
        a.channels != b.channels) {
        throw BackendError(std::string(names) + " must have the same shape");
    }
}

float* floats(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    if (!py::isinstance<py::array_t<float>>(array) || !(array.flags() & py::array::c_style) ||
        std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
        throw BackendError(std::string(name) +
                           " must be a C-contiguous array of float32 of its layer's shape");
    }
    return static_cast<float*>(const_cast<void*>(array.data()));
}

}  // namespace imagen_fast
