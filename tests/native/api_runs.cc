// The C API, for the sanitizers to look at: api_runs BUNDLE...
//
// Arguments that cannot be, damaged models, pictures in tiles and whole, threads at once, runs that
// are cancelled: the right status and a message, and nothing that a sanitizer objects to.
#include <atomic>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "../../imagen_fast/include/imagen_fast.hpp"

namespace {

using imagen_fast::api::options;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "api_runs: %s (last error: %s)\n", what.c_str(), imagen_fast_last_error());
    std::exit(1);
}

void expect(imagen_fast_status status, imagen_fast_status expected, const char* message,
            const std::string& what) {
    if (status != expected || !std::strstr(imagen_fast_last_error(), message)) {
        fail(what + " gives " + imagen_fast_status_text(status) + ", expected " +
             imagen_fast_status_text(expected) + " and '" + message + "'");
    }
}

void refused(imagen_fast_status status, const char* message, const std::string& what) {
    expect(status, IMAGEN_FAST_INVALID_ARGUMENT, message, what);
}

std::vector<char> content(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
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

// A run that is right until one thing is changed.
struct Run {
    explicit Run(imagen_fast_engine* engine, std::int32_t type = IMAGEN_FAST_UINT8)
        : engine(engine), small(9 * 12 * 4 * 4), large(small.size() * 16) {
        const int scale = imagen_fast_scale(engine), channels = imagen_fast_channels(engine);
        in = {sizeof in, small.data(), type, channels, 1, 9, 12, 0, 0, 0, nullptr};
        out = {sizeof out, large.data(), type, channels, 1, 9 * scale, 12 * scale, 0, 0, 0, nullptr};
    }
    imagen_fast_status operator()() {
        return imagen_fast_run(engine, &in, &out, nullptr);
    }

    imagen_fast_engine* engine;
    std::vector<unsigned char> small, large;
    imagen_fast_input in;
    imagen_fast_output out;
};

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

// Cut off, changed, garbage: an engine or a message, and a run at most.
void damaged(const std::vector<char>& model) {
    const auto load = [](const std::vector<char>& bytes) {
        imagen_fast_options how = options();
        how.isa = "generic";
        how.precision = IMAGEN_FAST_FP32;
        how.threads = 1;
        imagen_fast_engine* engine = nullptr;
        const auto status = imagen_fast_load_memory(bytes.data(), bytes.size(), &how, &engine);
        if (status == IMAGEN_FAST_OK) {
            if (imagen_fast_scale(engine)) {
                (void)Run(engine)();
            }
        } else if (status != IMAGEN_FAST_BAD_MODEL || !*imagen_fast_last_error()) {
            fail("a damaged model gives another status");
        }
        imagen_fast_free(engine);
        return status;
    };
    const std::size_t whole = model.size();
    for (std::size_t length = 1; length < whole; length += 1 + (length > 3000 ? whole / 40 : 13)) {
        if (load({model.begin(), model.begin() + length}) == IMAGEN_FAST_OK) {
            fail("a model that is cut off is taken");
        }
    }
    unsigned state = 1;
    for (int i = 0; i < 150; ++i) {
        std::vector<char> changed = model;
        state = state * 1664525u + 1013904223u;
        changed[(state >> 8) % (i % 3 ? 600 : whole)] = static_cast<char>(state >> 4);
        (void)load(changed);
    }
    (void)load(std::vector<char>(5000, '{'));
}

std::vector<float> noise(std::size_t count) {
    std::vector<float> values(count);
    unsigned state = 1;
    for (float& value : values) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) / (1 << 24);
    }
    return values;
}

void at_once(const char* path) {
    imagen_fast_options how = options();
    how.threads = 2;
    how.tile = 48;
    how.overlap = 4;
    how.precision = IMAGEN_FAST_FP32;
    imagen_fast::api::Engine engine(path, how);
    const auto image = noise(70 * 60 * engine.channels());
    const auto expected = engine.run(image.data(), 70, 60);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&, i] {
            for (int j = 0; j < 2; ++j) {
                double last = 0;
                const auto found = engine.run(image.data(), 70, 60, {[] { return false; },
                                              [&](double done) { last = done; }});
                if (found != expected || last != 1) {
                    fail("threads change the answer");
                }
                (void)engine.run(image.data(), 5 + i, 60);
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
}

void cancelled(const char* path) {
    imagen_fast::api::Engine engine(path);
    const auto image = noise(200 * 200 * engine.channels());
    const auto expected = engine.run(image.data(), 9, 9);
    std::atomic<bool> over{false};
    std::thread other([&] {
        while (!over) {
            imagen_fast_cancel(engine.get());
            std::this_thread::yield();
        }
    });
    try {
        for (int i = 0; i < 50; ++i) {
            (void)engine.run(image.data(), 200, 200);
        }
        fail("no run was cancelled");
    } catch (const imagen_fast::api::Error& error) {
        expect(error.status(), IMAGEN_FAST_CANCELLED, "cancelled", "a run");
    }
    over = true;
    other.join();
    try {
        (void)engine.run(image.data(), 9, 9, {[] { return true; }, {}});
        fail("a callback does not end a run");
    } catch (const imagen_fast::api::Error& error) {
        expect(error.status(), IMAGEN_FAST_CANCELLED, "cancelled", "a run");
    }
    if (engine.run(image.data(), 9, 9) != expected) {
        fail("a cancelled run left something behind");
    }
}

// Every layout of frames, in memory of exactly their size, from several threads.
void streamed(const char* path) {
    imagen_fast_options how = options();
    how.threads = 1;
    how.precision = IMAGEN_FAST_FP32;
    imagen_fast::api::Engine engine(path, how);
    if (engine.channels() != 3) {
        return;
    }
    constexpr int width = 14, height = 10, u = width * height;
    const int s = engine.scale(), large = s * s * u;
    const auto frame = [](std::vector<std::uint8_t>& bytes, int y, int format) {
        const bool halved = format >= IMAGEN_FAST_NV12;
        bytes.resize(static_cast<std::size_t>(halved ? y + y / 2 : 3 * y));
        imagen_fast_frame made{};
        made.size = sizeof made;
        made.planes[0] = bytes.data();
        made.planes[1] = halved ? bytes.data() + y : nullptr;
        made.planes[2] = format == IMAGEN_FAST_I420 ? bytes.data() + y + y / 4 : nullptr;
        return made;
    };
    for (int in = IMAGEN_FAST_RGB; in <= IMAGEN_FAST_I420; ++in) {
        for (int out = IMAGEN_FAST_RGB; out <= IMAGEN_FAST_I420; ++out) {
            imagen_fast::api::Stream stream(
                engine, {sizeof(imagen_fast_stream_options), width, height, in, out, 0, 0});
            const auto push = [&](std::vector<std::uint8_t>& result) {
                std::vector<std::uint8_t> bytes;
                const imagen_fast_frame given = frame(bytes, u, in);
                for (std::size_t i = 0; i < bytes.size(); ++i) {
                    bytes[i] = static_cast<std::uint8_t>(i * 37);
                }
                stream.push(given, frame(result, large, out));
            };
            std::vector<std::uint8_t> expected, others[2];
            push(expected);
            std::thread other([&] { push(others[0]); });
            push(others[1]);
            other.join();
            if (others[0] != expected || others[1] != expected) {
                fail("threads change a frame");
            }
        }
    }
}

}  // namespace

int main(int count, char** paths) {
    for (int i = 1; i < count; ++i) {
        imagen_fast_engine* engine = nullptr;
        const auto status = imagen_fast_load(paths[i], nullptr, &engine);
        imagen_fast::api::check(status);
        named(engine);
        if (!imagen_fast_scale(engine)) {
            expect(Run(engine)(), IMAGEN_FAST_INVALID_ARGUMENT, "channels is 0", "no channels");
            Run run(engine);
            run.in.channels = run.out.channels = 3;
            run.out.height = run.out.width = 9;
            expect(run(), IMAGEN_FAST_UNSUPPORTED, "no picture of a picture", "a run");
            imagen_fast_free(engine);
            damaged(content(paths[i]));
            std::printf("%s: as it should be\n", paths[i]);
            continue;
        }
        impossible_options(paths[i]);
        impossible_pictures(engine);
        imagen_fast_free(engine);
        damaged(content(paths[i]));
        at_once(paths[i]);
        cancelled(paths[i]);
        streamed(paths[i]);
        std::printf("%s: as it should be\n", paths[i]);
    }
    return count > 1 ? 0 : 2;
}
