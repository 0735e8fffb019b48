// Whatever the bytes of a model's file, it is read or refused, and an engine is made or refused.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "../../imagen_fast/runtime/bundle.h"
#include "../../imagen_fast/runtime/engine.h"
#include "../../imagen_fast/runtime/error.h"

using namespace imagen_fast;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    static const int file = memfd_create("bundle", 0);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
        return -1;
    }
    try {
        const Bundle bundle("/proc/self/fd/" + std::to_string(file));
        Engine engine(bundle.spec, bundle.tensors, {"fp32", "generic", {}});
        engine.prepare({1, 3, 5});
    } catch (const WeightsError&) {
    } catch (const BackendError&) {
    }
    return 0;
}
