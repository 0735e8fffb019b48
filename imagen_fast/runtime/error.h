// What the runtime throws; the binding turns each into the Python error of the same name.
#pragma once

#include <stdexcept>

namespace imagen_fast {

// A weights file is damaged or of another kind, or its tensors do not fit its spec.
struct WeightsError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Something asked for is not to be had on this machine.
struct BackendError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace imagen_fast
