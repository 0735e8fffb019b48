// Whatever the bytes of a model, the C API reads them or refuses them with a message, and an engine
// enlarges a picture or says why not. Of a model with GPU kernels everything that needs no GPU is
// read, and its launches are planned.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "../../imagen_fast/include/imagen_fast.h"
#include "../../imagen_fast/runtime/bundle.h"
#include "../../imagen_fast/runtime/cuda_cubin.h"
#include "../../imagen_fast/runtime/cuda_plan.h"
#include "../../imagen_fast/runtime/error.h"

namespace {

using namespace imagen_fast;

void plan(const Bundle& bundle) {
    const Json json = Json::parse(bundle.metadata.at("plan"));
    for (const int arch : cuda::architectures(json, 90).first) {
        const cuda::Plan plan = cuda::plan_of(json, arch, bundle.tensors);
        for (const cuda::Kernel& kernel : plan.program.kernels) {
            const Tensor& code = bundle.tensors.at(kernel.cubin);
            try {
                cuda::parameter_sizes(code.data, code.bytes(), kernel.entry);
            } catch (const WeightsError&) {
            }
        }
        for (const bool bytes : {false, true}) {
            plan.program.work({1, 3, 5}, bytes, 132, bundle.tensors);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    try {
        const Bundle bundle(data, size, Bundle::Kind::any);
        if (bundle.kernels) {
            plan(bundle);
        }
    } catch (const WeightsError&) {
    } catch (const ArgumentError&) {
    }
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
