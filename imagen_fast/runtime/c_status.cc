#include "c_status.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "error.h"

namespace imagen_fast {

namespace {

// Without a destructor and of fixed size: it works when memory has run out, and is no burden to
// threads that end.
thread_local char last_error[1024] = "";

// Of a message that is too long the end is kept: a path comes first.
imagen_fast_status failed(imagen_fast_status status, const char* what) noexcept {
    constexpr std::size_t room = sizeof last_error - sizeof "...";
    const std::size_t length = std::strlen(what);
    if (length > room) {
        what += length - room;
        while ((*what & 0xC0) == 0x80) {  // in the middle of a character
            ++what;
        }
    }
    std::snprintf(last_error, sizeof last_error, "%s%s", length > room ? "..." : "", what);
    return status;
}

}  // namespace

imagen_fast_status status_of_exception() noexcept {
    try {
        throw;
    } catch (const ArgumentError& error) {
        return failed(IMAGEN_FAST_INVALID_ARGUMENT, error.what());
    } catch (const WeightsError& error) {
        return failed(IMAGEN_FAST_BAD_MODEL, error.what());
    } catch (const MemoryError& error) {
        return failed(IMAGEN_FAST_OUT_OF_MEMORY, error.what());
    } catch (const NotFiniteError& error) {
        return failed(IMAGEN_FAST_NOT_FINITE, error.what());
    } catch (const CancelledError& error) {
        return failed(IMAGEN_FAST_CANCELLED, error.what());
    } catch (const DeviceError& error) {
        return failed(IMAGEN_FAST_DEVICE_FAILED, error.what());
    } catch (const BackendError& error) {
        return failed(IMAGEN_FAST_UNSUPPORTED, error.what());
    } catch (const std::bad_alloc&) {
        return failed(IMAGEN_FAST_OUT_OF_MEMORY, "out of memory; choose a smaller tile");
    } catch (const std::exception& error) {
        return failed(IMAGEN_FAST_INTERNAL, error.what());
    } catch (...) {
        return failed(IMAGEN_FAST_INTERNAL, "something was thrown that is no exception");
    }
}

}  // namespace imagen_fast

const char* imagen_fast_last_error() noexcept { return imagen_fast::last_error; }

const char* imagen_fast_status_text(imagen_fast_status status) noexcept {
    switch (status) {
        case IMAGEN_FAST_OK: return "ok";
        case IMAGEN_FAST_INVALID_ARGUMENT: return "invalid argument";
        case IMAGEN_FAST_BAD_MODEL: return "bad model";
        case IMAGEN_FAST_UNSUPPORTED: return "unsupported here";
        case IMAGEN_FAST_OUT_OF_MEMORY: return "out of memory";
        case IMAGEN_FAST_NOT_FINITE: return "not finite";
        case IMAGEN_FAST_CANCELLED: return "cancelled";
        case IMAGEN_FAST_DEVICE_FAILED: return "the GPU or its driver failed";
        case IMAGEN_FAST_INTERNAL: return "internal error";
        default: return "unknown status";
    }
}
