// Whatever the bytes of a model, the C API reads them or refuses them with a message, and an engine
// enlarges a picture or says why not.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "../../imagen_fast/include/imagen_fast.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    imagen_fast_options options{};
    options.size = sizeof options;
    options.isa = "generic";
    options.precision = IMAGEN_FAST_FP32;
    options.threads = 1;
    imagen_fast_engine* engine = nullptr;
    if (imagen_fast_load_memory(data, size, &options, &engine) != IMAGEN_FAST_OK) {
        if (engine || !*imagen_fast_last_error()) {
            std::abort();
        }
        return 0;
    }
    const std::int64_t scale = imagen_fast_scale(engine), height = 3, width = 5;
    const std::int32_t channels = imagen_fast_channels(engine);
    const std::vector<unsigned char> small(height * width * channels, 99);
    std::vector<unsigned char> large(small.size() * scale * scale);
    const imagen_fast_input in = {
        sizeof in, small.data(), IMAGEN_FAST_UINT8, channels, 1, height, width, 0, 0, 0};
    const imagen_fast_output out = {sizeof out,     large.data(),  IMAGEN_FAST_UINT8, channels, 1,
                                    height * scale, width * scale, 0,                 0,        0};
    const imagen_fast_status status = imagen_fast_run(engine, &in, &out, nullptr);
    if (status != IMAGEN_FAST_OK && status != IMAGEN_FAST_NOT_FINITE &&
        status != IMAGEN_FAST_OUT_OF_MEMORY) {
        std::abort();
    }
    imagen_fast_free(engine);
    return 0;
}
