// Arguments of the C API that cannot be, for the sanitizers to look at: api_arguments BUNDLE...
//
// The right status and a message, and nothing that a sanitizer objects to.
#include <climits>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "api_run.h"

namespace {

using imagen_fast::api::options;

void refused(imagen_fast_status status, const char* message, const std::string& what) {
    expect(status, IMAGEN_FAST_INVALID_ARGUMENT, message, what);
}

imagen_fast_options with(void (*change)(imagen_fast_options&)) {
    imagen_fast_options changed = options();
    change(changed);
    return changed;
}

void impossible_options(const char* path) {
    const auto load = [&](imagen_fast_status expected, const char* message,
                          const imagen_fast_options& how) {
        auto* engine = reinterpret_cast<imagen_fast_engine*>(1);
        expect(imagen_fast_load(path, &how, &engine), expected, message, "loading");
        if (engine) {
            fail("there is an engine after an error");
        }
    };
    const auto no = [&](const char* message, void (*change)(imagen_fast_options&)) {
        load(IMAGEN_FAST_INVALID_ARGUMENT, message, with(change));
    };
    no("size is 0", [](auto& o) { o.size = 0; });
    no("size is 8", [](auto& o) { o.size = 8; });
    no("size is 1099511627776", [](auto& o) { o.size = std::size_t{1} << 40; });
    no("precision is 9", [](auto& o) { o.precision = 9; });
    no("threads is -1", [](auto& o) { o.threads = -1; });
    no("threads is 5000", [](auto& o) { o.threads = 5000; });
    no("spin_us is -2", [](auto& o) { o.spin_us = -2; });
    no("spin is 2147483647", [](auto& o) { o.spin_us = INT_MAX; });
    no("overlap is -2", [](auto& o) { o.overlap = -2; });
    no("tile is -5", [](auto& o) { o.tile = -5; });
    no("too small for this model", [](auto& o) { o.tile = 1; });
    no("no room for an overlap", [](auto& o) { o.tile = 100, o.overlap = INT_MAX; });
    no("reserved", [](auto& o) { o.reserved = 1; });
    no("device is \"tpu\"", [](auto& o) { o.device = "tpu"; });
    no("those chosen here", [](auto& o) { o.memory = 1000, o.overlap = INT_MAX; });
    no("given together", [](auto& o) { o.core_count = 2; });
    const auto cannot = [&](const char* message, void (*change)(imagen_fast_options&)) {
        load(IMAGEN_FAST_UNSUPPORTED, message, with(change));
    };
    static const std::int32_t far[] = {100000};
    cannot("core 100000", [](auto& o) { o.cores = far, o.core_count = 1; });
    cannot("'mmx'", [](auto& o) { o.isa = "mmx"; });
    static const std::int32_t first[] = {0};
    no("core_count is", [](auto& o) { o.cores = first, o.core_count = SIZE_MAX; });
    load(IMAGEN_FAST_OUT_OF_MEMORY, "memory is free for tiles of",
         with([](auto& o) { o.memory = 1000; }));

    // Of another version of the library.
    struct {
        imagen_fast_options known;
        std::uint64_t more;
    } newer{options(), 0};
    newer.known.size = sizeof newer;
    imagen_fast_engine* engine = nullptr;
    imagen_fast::api::check(imagen_fast_load(path, &newer.known, &engine));
    imagen_fast_free(engine);
    newer.more = 1;
    refused(imagen_fast_load(path, &newer.known, &engine), "does not have", "a newer option");

    refused(imagen_fast_load(nullptr, nullptr, &engine), "path is NULL", "no path");
    refused(imagen_fast_load(path, nullptr, nullptr), "engine is NULL", "no engine");
    refused(imagen_fast_load_memory(nullptr, 9, nullptr, &engine), "data is NULL", "no data");
    imagen_fast_free(nullptr);
    imagen_fast_cancel(nullptr);
    if (imagen_fast_scale(nullptr) || *imagen_fast_isa(nullptr) || *imagen_fast_name(nullptr) ||
        imagen_fast_metadata(nullptr, "name") || imagen_fast_reruns(nullptr)) {
        fail("an engine that is NULL says something");
    }
}

void impossible_pictures(imagen_fast_engine* engine) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    imagen_fast::api::check(Run(engine)());
    imagen_fast::api::check(Run(engine, IMAGEN_FAST_FLOAT32)());
    const auto no = [&](const char* message, void (*change)(Run&)) {
        for (const std::int32_t type : {IMAGEN_FAST_UINT8, IMAGEN_FAST_FLOAT32}) {
            Run run(engine, type);
            change(run);
            refused(run(), message, "a run");
            refused(imagen_fast_run_untiled(run.engine, &run.in, &run.out, nullptr), message,
                    "a run without tiles");
        }
    };
    no("engine is NULL", [](Run& run) { run.engine = nullptr; });
    no("input.data is NULL", [](Run& run) { run.in.data = nullptr; });
    no("output.data is NULL", [](Run& run) { run.out.data = nullptr; });
    no("imagen_fast_input.size is 0", [](Run& run) { run.in.size = 0; });
    no("imagen_fast_output.size is 71", [](Run& run) { run.out.size = 71; });
    no("input.type is 0", [](Run& run) { run.in.type = 0; });
    no("input.type is 3", [](Run& run) { run.in.type = 3; });
    no("the output's type is", [](Run& run) { run.out.type = 3 - run.out.type; });
    no("input.channels is 0", [](Run& run) { run.in.channels = 0; });
    no("expected the model's", [](Run& run) { run.in.channels = 1; });
    no("input.channels is -2147483648", [](Run& run) { run.in.channels = INT_MIN; });
    no("input.images is 0", [](Run& run) { run.in.images = 0; });
    no("input.height is 0", [](Run& run) { run.in.height = 0; });
    no("input.width is 0", [](Run& run) { run.in.width = 0; });
    no("input.width is -1", [](Run& run) { run.in.width = -1; });
    no("output.height is 0", [](Run& run) { run.out.height = 0; });
    no("input.height is", [](Run& run) { run.in.height = most; });
    no("beyond any memory", [](Run& run) {
        run.in.height = run.in.width = run.in.images = 1 << 30;
    });
    no("beyond any memory", [](Run& run) { run.out.row_stride = most - 3; });
    no("beyond any memory", [](Run& run) { run.in.pixel_stride = 1LL << 62; });
    no("beyond any memory", [](Run& run) { run.in.row_stride = -(1LL << 59); });
    no("the output must be", [](Run& run) { run.out.width += 1; });
    no("the output must be", [](Run& run) { run.out.images = 2; });
    no("input.pixel_stride is 1", [](Run& run) { run.in.pixel_stride = 1; });
    no("input.row_stride is -4", [](Run& run) { run.in.row_stride = -4; });
    no("row_stride is -9223372036854775808", [](Run& run) {
        run.in.row_stride = std::numeric_limits<std::int64_t>::min();
    });
    no("output.image_stride is 40", [](Run& run) { run.out.image_stride = 40; });
    no("overlap in memory", [](Run& run) { run.out.data = run.small.data() + 8; });
    no("overlap in memory", [](Run& run) { run.in.data = run.large.data() + 8; });

    refused(imagen_fast_run(engine, nullptr, nullptr, nullptr), "in is NULL", "no input");
    Run run(engine, IMAGEN_FAST_FLOAT32);
    refused(imagen_fast_run(engine, &run.in, nullptr, nullptr), "out is NULL", "no output");
    const imagen_fast_run_options wrong{};
    refused(imagen_fast_run(engine, &run.in, &run.out, &wrong), "run_options.size is 0", "a run");
    run.in.row_stride = 12 * 16 + 2;
    refused(run(), "aligned to 4 bytes", "a run");
    run.in.row_stride = 0;
    run.in.data = run.small.data() + 1;
    refused(run(), "aligned to 4 bytes", "a run");
    run.in.data = run.small.data();
    for (const float value : {-0.01f, 1.01f, NAN, INFINITY}) {
        std::memcpy(run.small.data() + 40, &value, sizeof value);
        refused(run(), "between 0 and 1", "a run");
    }
    Run large(engine);
    large.in.height = large.in.width = 1 << 15;
    large.out.height = large.out.width = imagen_fast_scale(engine) << 15;
    large.in.row_stride = large.out.row_stride = 1 << 20;  // nobody looks there
    large.out.data = reinterpret_cast<void*>(std::uintptr_t{1} << 45);
    refused(imagen_fast_run_untiled(engine, &large.in, &large.out, nullptr), "too large", "a run");

    std::uint64_t bytes = 1;
    refused(imagen_fast_memory(engine, IMAGEN_FAST_UINT8, 0, 5, &bytes), "height is 0", "memory");
    refused(imagen_fast_memory(engine, IMAGEN_FAST_UINT8, 5, most, &bytes), "width is", "memory");
    refused(imagen_fast_memory(engine, 0, 5, 5, &bytes), "type is 0", "memory");
    const std::int32_t type = IMAGEN_FAST_FLOAT32;
    refused(imagen_fast_memory(nullptr, type, 5, 5, &bytes), "engine is NULL", "memory");
    refused(imagen_fast_memory(engine, type, 5, 5, nullptr), "bytes is NULL", "memory");
    imagen_fast::api::check(imagen_fast_memory(engine, type, 1 << 30, 1 << 30, &bytes));
}

// A run by names of everything that must be given, and of all outputs that it is enough for.
struct NamedRun {
    explicit NamedRun(imagen_fast_engine* engine) : engine(engine) {
        const std::int64_t images = 2, height = 9, width = 7;
        for (std::int32_t i = 0; i < imagen_fast_input_count(engine); ++i) {
            imagen_fast_info info{sizeof info, nullptr, 0, 0, 0, 0, 0, 0, 0};
            imagen_fast::api::check(imagen_fast_input_info(engine, i, &info));
            if (info.optional || (i && imagen_fast_scale(engine))) {
                continue;
            }
            const auto side = [&](std::int64_t of) {
                const std::int64_t part = std::int64_t{1} << info.halvings;
                return info.factor * ((of + part - 1) / part);
            };
            numbers.emplace_back(
                static_cast<std::size_t>(images * side(height) * side(width) * info.channels), 0.5f);
            inputs.push_back({sizeof(imagen_fast_input), nullptr, IMAGEN_FAST_FLOAT32,
                              info.channels, images, side(height), side(width), 0, 0, 0, info.name});
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            inputs[i].data = numbers[i].data();
        }
        for (std::int32_t i = 0; i < imagen_fast_output_count(engine); ++i) {
            imagen_fast_info info{sizeof info, nullptr, 0, 0, 0, 0, 0, 0, 0};
            imagen_fast::api::check(imagen_fast_output_info(engine, i, &info));
            imagen_fast_output output{};
            output.size = sizeof output;
            output.name = info.name;
            if (imagen_fast_sizes(engine, inputs.data(), inputs.size(), &output, 1, nullptr) ==
                IMAGEN_FAST_OK) {
                outputs.push_back(output);
            }
        }
        make_room();
    }
    void make_room() {
        imagen_fast::api::check(imagen_fast_sizes(engine, inputs.data(), inputs.size(),
                                                  outputs.data(), outputs.size(), nullptr));
        for (auto& output : outputs) {
            results.emplace_back(static_cast<std::size_t>(output.images * output.height *
                                                          output.width * output.channels), 77.0f);
            output.data = results.back().data();
        }
    }
    imagen_fast_status operator()() const {
        return imagen_fast_run_graph(engine, inputs.data(), inputs.size(), outputs.data(),
                                     outputs.size(), nullptr);
    }

    imagen_fast_engine* engine;
    std::vector<imagen_fast_input> inputs;
    std::vector<imagen_fast_output> outputs;
    std::vector<std::vector<float>> numbers, results;
};

void named(imagen_fast_engine* engine) {
    const NamedRun right(engine);
    imagen_fast::api::check(right());
    for (const auto& result : right.results) {
        for (const float value : result) {
            if (value == 77.0f) {
                fail("a result was not written");
            }
        }
    }
    // With gaps, and one output after the other.
    NamedRun gaps(engine);
    std::vector<std::vector<float>> wide;
    for (auto& input : gaps.inputs) {
        const std::int64_t pixel = 4 * (input.channels + 3);
        wide.emplace_back(static_cast<std::size_t>(pixel / 4 * input.images * input.height *
                                                   input.width), 0.5f);
        input.data = wide.back().data();
        input.pixel_stride = pixel;
    }
    for (std::size_t i = 0; i < gaps.outputs.size(); ++i) {
        auto& out = gaps.outputs[i];
        const std::int64_t row = out.width * out.channels * 4 + 12;
        std::vector<float> room(static_cast<std::size_t>(row / 4 * out.height * out.images), 77.0f);
        out.data = room.data();
        out.row_stride = row;
        imagen_fast::api::check(imagen_fast_run_graph(engine, gaps.inputs.data(), gaps.inputs.size(),
                                                      &out, 1, nullptr));
        for (std::int64_t y = 0; y < out.images * out.height; ++y) {
            const float* expected = right.results[i].data() + y * out.width * out.channels;
            const float* found = room.data() + y * row / 4;
            if (std::memcmp(expected, found, static_cast<std::size_t>(row - 12)) != 0 ||
                found[row / 4 - 1] != 77.0f) {
                fail("gaps or other outputs change the answer");
            }
        }
    }

    const auto no = [&](const char* message, void (*change)(NamedRun&)) {
        NamedRun run(engine);
        change(run);
        refused(run(), message, "a run by names");
    };
    no("engine is NULL", [](NamedRun& run) { run.engine = nullptr; });
    no("there are 0 inputs", [](NamedRun& run) { run.inputs.clear(); });
    no("there are 0 outputs", [](NamedRun& run) { run.outputs.clear(); });
    no("there are 500 outputs", [](NamedRun& run) { run.outputs.resize(500); });
    no("imagen_fast_input.size is 7", [](NamedRun& run) { run.inputs[0].size = 7; });
    no("inputs[0].data is NULL", [](NamedRun& run) { run.inputs[0].data = nullptr; });
    no("inputs[0].type is 0", [](NamedRun& run) { run.inputs[0].type = 0; });
    no("outputs[0].type is 5", [](NamedRun& run) { run.outputs[0].type = 5; });
    no("no input 'nothing'", [](NamedRun& run) { run.inputs[0].name = "nothing"; });
    no("no output ''", [](NamedRun& run) { run.outputs[0].name = ""; });
    no("4097", [](NamedRun& run) { run.inputs[0].channels = 4097; });
    no("channels; expected", [](NamedRun& run) { run.inputs[0].channels -= 1; });
    no("is float32 of", [](NamedRun& run) { run.outputs[0].channels -= 1; });
    no("is float32 of", [](NamedRun& run) { run.outputs[0].width -= 1; });
    no("is uint8 of", [](NamedRun& run) { run.outputs[0].type = IMAGEN_FAST_UINT8; });
    no("given twice", [](NamedRun& run) { run.inputs.push_back(run.inputs[0]); });
    no("wanted twice", [](NamedRun& run) {
        run.outputs.push_back(run.outputs[0]);
        run.results.push_back(run.results[0]);
        run.outputs.back().data = run.results.back().data();
    });
    no("overlap in memory", [](NamedRun& run) {
        run.outputs[0].data = run.numbers[0].data();
    });
    no("cannot run tiles", [](NamedRun& run) {
        run.inputs[0].height = run.inputs[0].width = 1;
        run.inputs[0].images = 1 << 30;
        run.inputs[0].pixel_stride = run.inputs[0].row_stride = run.inputs[0].image_stride = 0;
        run.outputs.resize(1);
        run.outputs[0].data = reinterpret_cast<void*>(std::uintptr_t{1} << 60);
    });
    no("holds floats that", [](NamedRun& run) { run.numbers.back()[5] = NAN; });
    no("holds floats that", [](NamedRun& run) { run.numbers[0][5] = INFINITY; });
    if (right.inputs.size() > 1) {
        no("and was not given", [](NamedRun& run) { run.inputs.pop_back(); });
        no("no picture: bytes", [](NamedRun& run) {
            run.inputs.back().type = IMAGEN_FAST_UINT8;
            run.inputs.back().row_stride = run.inputs.back().pixel_stride = 0;
        });
        no("'style' is", [](NamedRun& run) { run.inputs.back().width -= 1; });
        no("number of images", [](NamedRun& run) { run.inputs.back().images = 1; });
        no("of one array", [](NamedRun& run) { run.inputs.back().size += 8; });
        no("overlap in memory", [](NamedRun& run) { run.outputs[1].data = run.outputs[0].data; });
        // Bytes where pictures are, floats where numbers are; the first input without its name.
        NamedRun bytes(engine);
        const std::vector<unsigned char> small(9 * 7 * 3 * 2, 99);
        bytes.inputs[0].type = IMAGEN_FAST_UINT8;
        bytes.inputs[0].data = small.data();
        bytes.inputs[0].name = nullptr;
        bytes.make_room();
        if (bytes.outputs[0].type != IMAGEN_FAST_UINT8 ||
            bytes.outputs[1].type != IMAGEN_FAST_FLOAT32 || bytes() != IMAGEN_FAST_OK) {
            fail("bytes beside floats");
        }
    }
    imagen_fast_info info{sizeof info, nullptr, 0, 0, 0, 0, 0, 0, 0};
    refused(imagen_fast_input_info(engine, -1, &info), "no input -1", "an info");
    refused(imagen_fast_output_info(engine, 5000, &info), "no output 5000", "an info");
    refused(imagen_fast_input_info(nullptr, 0, &info), "engine is NULL", "an info");
    refused(imagen_fast_input_info(engine, 0, nullptr), "info is NULL", "an info");
    info.size = 3;
    refused(imagen_fast_input_info(engine, 0, &info), "imagen_fast_info.size is 3", "an info");
    if (imagen_fast_input_count(nullptr) || imagen_fast_output_count(nullptr)) {
        fail("an engine that is NULL has inputs");
    }
}

}  // namespace

int main(int count, char** paths) {
    for (int i = 1; i < count; ++i) {
        imagen_fast_engine* engine = nullptr;
        imagen_fast::api::check(imagen_fast_load(paths[i], nullptr, &engine));
        named(engine);
        if (imagen_fast_scale(engine)) {
            impossible_options(paths[i]);
            impossible_pictures(engine);
        } else {
            expect(Run(engine)(), IMAGEN_FAST_UNSUPPORTED, "no picture of a picture", "a run");
        }
        imagen_fast_free(engine);
        std::printf("%s: as it should be\n", paths[i]);
    }
    return count > 1 ? 0 : 2;
}
