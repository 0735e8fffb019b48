// Exceptions as the statuses and messages of the C API.
#pragma once

#include "../include/imagen_fast.h"

namespace imagen_fast {

// The status of the exception that is being handled, whose message becomes the thread's last error.
// Only for a handler.
imagen_fast_status status_of_exception() noexcept;

// Runs `work`; nothing that it throws gets out.
template <class Work>
imagen_fast_status guarded(const Work& work) noexcept {
    try {
        work();
        return IMAGEN_FAST_OK;
    } catch (...) {
        return status_of_exception();
    }
}

}  // namespace imagen_fast
