// Whatever the bytes of a model, the C API reads them or refuses them with a message, and an engine
// enlarges a picture and gives every output by its name, or says why not. Of a model with GPU
// kernels everything that needs no GPU is read, and its launches are planned.
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
        const cuda::BundlePlan plan = cuda::plan_of(json, arch, bundle.tensors, bundle.graph);
        for (const cuda::Kernel& kernel : plan.program.kernels) {
            const Tensor& code = bundle.tensors.at(kernel.cubin);
            try {
                cuda::parameter_sizes(code.data, code.bytes(), kernel.entry);
            } catch (const WeightsError&) {
            }
        }
        const std::vector<Shape> shapes(bundle.graph.inputs.size(), {1, 3, 5});
        for (const bool bytes : {false, true}) {
            plan.program.work(shapes, bytes, 132);
        }
    }
}

constexpr std::uint64_t kMostBytes = 64 << 20;  // more is slow, and of no other kind

void expect_run(imagen_fast_status status) {
    if (status != IMAGEN_FAST_OK && status != IMAGEN_FAST_NOT_FINITE &&
        status != IMAGEN_FAST_OUT_OF_MEMORY) {
        std::abort();
    }
}

void one_picture(imagen_fast_engine* engine) {
    const std::int64_t scale = imagen_fast_scale(engine), height = 3, width = 5;
    const std::int32_t channels = imagen_fast_channels(engine);
    std::uint64_t bytes = 0;
    const auto known = imagen_fast_memory(engine, IMAGEN_FAST_UINT8, height, width, &bytes);
    if (known == IMAGEN_FAST_UNSUPPORTED || bytes > kMostBytes) {
        return;  // a result is too large
    }
    const std::vector<unsigned char> small(height * width * channels, 99);
    std::vector<unsigned char> large(small.size() * scale * scale);
    const imagen_fast_input in = {
        sizeof in, small.data(), IMAGEN_FAST_UINT8, channels, 1, height, width, 0, 0, 0, nullptr};
    const imagen_fast_output out = {
        sizeof out, large.data(), IMAGEN_FAST_UINT8, channels, 1, height * scale, width * scale,
        0,          0,            0,                 nullptr};
    expect_run(imagen_fast_run(engine, &in, &out, nullptr));
}

// With and without the inputs that may be left out; what it lacks is a message.
void every_output(imagen_fast_engine* engine) {
    for (const bool all : {false, true}) {
        std::vector<imagen_fast_input> inputs;
        std::vector<std::vector<float>> numbers;
        for (std::int32_t i = 0; i < imagen_fast_input_count(engine); ++i) {
            imagen_fast_info info{sizeof info, nullptr, 0, 0, 0, 0, 0, 0, 0};
            if (imagen_fast_input_info(engine, i, &info) != IMAGEN_FAST_OK) {
                std::abort();
            }
            const auto side = [&](std::int64_t of) {
                const std::int64_t part = std::int64_t{1} << info.halvings;
                return info.factor * ((of + part - 1) / part);
            };
            const std::int64_t pixels = side(3) * side(5);
            if ((info.optional && !all) || pixels * info.channels > (1 << 20)) {
                continue;
            }
            numbers.emplace_back(static_cast<std::size_t>(pixels * info.channels), 0.5f);
            inputs.push_back({sizeof(imagen_fast_input), numbers.back().data(), IMAGEN_FAST_FLOAT32,
                              info.channels, 1, side(3), side(5), 0, 0, 0, info.name});
        }
        for (std::int32_t i = 0; i < imagen_fast_output_count(engine) && i < 16; ++i) {
            imagen_fast_info info{sizeof info, nullptr, 0, 0, 0, 0, 0, 0, 0};
            imagen_fast_output output{};
            std::uint64_t bytes = 0;
            output.size = sizeof output;
            if (imagen_fast_output_info(engine, i, &info) != IMAGEN_FAST_OK) {
                std::abort();
            }
            output.name = info.name;
            const auto known = imagen_fast_sizes(engine, inputs.data(), inputs.size(), &output, 1,
                                                 &bytes);
            if (known != IMAGEN_FAST_OK || bytes > kMostBytes) {
                continue;
            }
            std::vector<float> result(static_cast<std::size_t>(output.height * output.width *
                                                               output.channels));
            output.data = result.data();
            expect_run(imagen_fast_run_graph(engine, inputs.data(), inputs.size(), &output, 1,
                                             nullptr));
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
    if (imagen_fast_scale(engine)) {
        one_picture(engine);
    }
    every_output(engine);
    imagen_fast_free(engine);
    return 0;
}
