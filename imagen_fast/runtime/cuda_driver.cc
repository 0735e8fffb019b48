#include "cuda_driver.h"

#include <dlfcn.h>

#include "error.h"

namespace imagen_fast::cuda {

namespace {

constexpr char kLibrary[] = "libcuda.so.1";

Driver found() {
    void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* why = dlerror();
        throw BackendError("no NVIDIA driver is here (" + std::string(why ? why : kLibrary) +
                           "); install it, see nvidia-smi, or use device \"cpu\"");
    }
    Driver driver;
    const auto find = [&](auto& field, const char* symbol) {
        field = reinterpret_cast<std::remove_reference_t<decltype(field)>>(dlsym(library, symbol));
        if (!field) {
            throw BackendError("the NVIDIA driver has no function " + std::string(symbol) +
                               "; expected one for CUDA 11.4 or later: update it");
        }
    };
#define IMAGEN_FAST_FIND(name, parameters) find(driver.name, #name);
    IMAGEN_FAST_CUDA(IMAGEN_FAST_FIND)
#undef IMAGEN_FAST_FIND
    if (const CUresult code = driver.cuInit(0)) {
        throw BackendError("the NVIDIA driver does not start: " + driver.text(code) +
                           "; see nvidia-smi, or use device \"cpu\"");
    }
    return driver;
}

}  // namespace

std::string Driver::text(CUresult code) const {
    const char *name = nullptr, *words = nullptr;
    cuGetErrorName(code, &name);
    cuGetErrorString(code, &words);
    return std::string(name ? name : "an unknown error") + " (" + std::to_string(code) + ")" +
           (words ? std::string(", ") + words : "");
}

void Driver::check(CUresult code, const std::string& what) const {
    if (code == 0) {
        return;
    }
    if (code == kNoMemory) {
        throw MemoryError("out of memory on the GPU: " + what + ": " + text(code) +
                          "; choose a smaller tile or memory");
    }
    throw DeviceError("the GPU failed: " + what + ": " + text(code));
}

const Driver& driver() {
    static const Driver one = found();  // tried again after an error
    return one;
}

}  // namespace imagen_fast::cuda
