// What the runtime throws; the binding turns each into the Python error of the same name, and the
// C API into a status.
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

// There is no kernel for one of a network's operations.
struct OperationError : BackendError {
    using BackendError::BackendError;
};

// Memory ran out.
struct MemoryError : BackendError {
    using BackendError::BackendError;
};

// What a network gave holds infinities or NaN.
struct NotFiniteError : BackendError {
    using BackendError::BackendError;
};

// A GPU or its driver failed.
struct DeviceError : BackendError {
    using BackendError::BackendError;
};

// A run was ended before it was done.
struct CancelledError : BackendError {
    using BackendError::BackendError;
};

// A value that was handed in cannot be.
struct ArgumentError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace imagen_fast
