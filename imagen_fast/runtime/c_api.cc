// The C API: its functions. Their arguments are checked in arguments.h and c_options.h, exceptions
// become statuses in c_status.h, and everything else is done elsewhere.
#include "../include/imagen_fast.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "arguments.h"
#include "c_options.h"
#include "c_status.h"
#include "picture_engine.h"
#include "video_stream.h"

using namespace imagen_fast;

struct imagen_fast_engine : PictureEngine {
    using PictureEngine::PictureEngine;
};

struct imagen_fast_stream : VideoStream {
    using VideoStream::VideoStream;
};

namespace {

template <class Open>
imagen_fast_status loaded(const imagen_fast_options* options, imagen_fast_engine** engine,
                          const Open& open) noexcept {
    return guarded([&] {
        *not_null(engine, "engine") = nullptr;
        const PictureOptions wanted = options_of(options);
        const bool gpu = !wanted.device.empty() && wanted.device != "cpu";
        const Bundle bundle = open(gpu ? Bundle::Kind::any : Bundle::Kind::model);
        *engine = new imagen_fast_engine(bundle, wanted);
    });
}

int number_of(const Graph& graph, const imagen_fast_input* given) {
    const char* name = structure(given, "imagen_fast_input").name;
    return name ? graph.input(name) : 0;
}

int number_of(const Graph& graph, const imagen_fast_output* given) {
    const char* name = structure(given, "imagen_fast_output").name;
    return name ? graph.output(name) : 0;
}

// The caller's inputs or outputs, whose memory is looked at on request.
template <class Picture>
std::vector<Named> named(const Graph& graph, const Picture* first, std::size_t count,
                         const std::string& name, bool memory) {
    if (count < 1 || count > graph.inputs.size() + graph.outputs.size()) {
        throw ArgumentError("there are " + std::to_string(count) + " " + name +
                            "; expected 1 or more, each once");
    }
    not_null(first, name.c_str());
    std::vector<Named> all;
    for (std::size_t i = 0; i < count; ++i) {
        const Picture* one = element(first, i);
        const int number = number_of(graph, one);
        const bool output = std::is_same_v<Picture, imagen_fast_output>;
        const std::string what = name + "[" + std::to_string(i) + "]";
        all.push_back({number, output && !memory ? View() : view_of(one, what, memory)});
    }
    return all;
}

void write_info(imagen_fast_info* info, const Value& value, const std::string& name, bool picture,
                bool optional) {
    imagen_fast_info known = structure(not_null(info, "info"), "imagen_fast_info");
    const std::size_t size = known.size;
    known = {size,
             name.c_str(),
             value.channels,
             picture,
             optional,
             value.grid.of,
             value.grid.halvings,
             value.grid.factor,
             value.grid.around / 2};
    std::memcpy(info, &known, std::min(size, sizeof known));
}

std::size_t checked(int32_t number, std::size_t count, const char* what) {
    if (number < 0 || static_cast<std::size_t>(number) >= count) {
        throw ArgumentError(std::string("there is no ") + what + " " + std::to_string(number) +
                            "; expected 0 to " + std::to_string(count - 1));
    }
    return static_cast<std::size_t>(number);
}

using Run = void (PictureEngine::*)(const View&, const View&, const Watch&);

imagen_fast_status ran(imagen_fast_engine* engine, const imagen_fast_input* in,
                       const imagen_fast_output* out, const imagen_fast_run_options* options,
                       Run run) noexcept {
    return guarded([&] {
        // Before sizes are looked at, which follow from a scale and channels of 0 otherwise.
        not_null(engine, "engine")->refuse_others();
        const View source = view_of(not_null(in, "in"), "input");
        const View target = view_of(not_null(out, "out"), "output");
        if (number_of(engine->graph(), in) || number_of(engine->graph(), out)) {
            throw ArgumentError("one picture is the model's first input, and its first output; run "
                                "others with imagen_fast_run_graph");
        }
        refuse_overlap(source, target, "input and output");
        (engine->*run)(source, target, watch_of(options));
    });
}

}  // namespace

int32_t imagen_fast_version() noexcept { return IMAGEN_FAST_VERSION; }
int32_t imagen_fast_abi() noexcept { return IMAGEN_FAST_ABI; }

#define IMAGEN_FAST_TEXT_OF(x) #x
#define IMAGEN_FAST_TEXT(x) IMAGEN_FAST_TEXT_OF(x)
const char* imagen_fast_version_text() noexcept {
    return IMAGEN_FAST_TEXT(IMAGEN_FAST_VERSION_MAJOR) "." IMAGEN_FAST_TEXT(
        IMAGEN_FAST_VERSION_MINOR) "." IMAGEN_FAST_TEXT(IMAGEN_FAST_VERSION_PATCH);
}

imagen_fast_status imagen_fast_load(const char* path, const imagen_fast_options* options,
                                    imagen_fast_engine** engine) noexcept {
    return loaded(options, engine,
                  [&](Bundle::Kind kind) { return Bundle(not_null(path, "path"), kind); });
}

imagen_fast_status imagen_fast_load_memory(const void* data, size_t bytes,
                                           const imagen_fast_options* options,
                                           imagen_fast_engine** engine) noexcept {
    return loaded(options, engine,
                  [&](Bundle::Kind kind) { return Bundle(not_null(data, "data"), bytes, kind); });
}

void imagen_fast_free(imagen_fast_engine* engine) noexcept { delete engine; }

imagen_fast_status imagen_fast_run(imagen_fast_engine* engine, const imagen_fast_input* in,
                                   const imagen_fast_output* out,
                                   const imagen_fast_run_options* options) noexcept {
    return ran(engine, in, out, options, &PictureEngine::run);
}

imagen_fast_status imagen_fast_run_untiled(imagen_fast_engine* engine, const imagen_fast_input* in,
                                           const imagen_fast_output* out,
                                           const imagen_fast_run_options* options) noexcept {
    return ran(engine, in, out, options, &PictureEngine::run_untiled);
}

int32_t imagen_fast_input_count(const imagen_fast_engine* engine) noexcept {
    return engine ? static_cast<int32_t>(engine->graph().inputs.size()) : 0;
}

int32_t imagen_fast_output_count(const imagen_fast_engine* engine) noexcept {
    return engine ? static_cast<int32_t>(engine->graph().outputs.size()) : 0;
}

imagen_fast_status imagen_fast_input_info(const imagen_fast_engine* engine, int32_t number,
                                          imagen_fast_info* info) noexcept {
    return guarded([&] {
        const Graph& graph = not_null(engine, "engine")->graph();
        const auto& input = graph.inputs[checked(number, graph.inputs.size(), "input")];
        const Value& value = graph.values[static_cast<std::size_t>(input.value)];
        write_info(info, value, value.name, input.picture, input.optional);
    });
}

imagen_fast_status imagen_fast_output_info(const imagen_fast_engine* engine, int32_t number,
                                           imagen_fast_info* info) noexcept {
    return guarded([&] {
        const Graph& graph = not_null(engine, "engine")->graph();
        const auto& output = graph.outputs[checked(number, graph.outputs.size(), "output")];
        const Value& value = graph.values[static_cast<std::size_t>(output.value)];
        write_info(info, value, output.name, output.picture, false);
    });
}

imagen_fast_status imagen_fast_sizes(const imagen_fast_engine* engine,
                                     const imagen_fast_input* inputs, size_t input_count,
                                     imagen_fast_output* outputs, size_t output_count,
                                     uint64_t* bytes) noexcept {
    return guarded([&] {
        if (bytes) {
            *bytes = 0;
        }
        const Graph& graph = not_null(engine, "engine")->graph();
        const auto given = named(graph, inputs, input_count, "inputs", false);
        const auto wanted = named(graph, outputs, output_count, "outputs", false);
        const Request request = request_for(graph, given, wanted);
        if (bytes) {
            *bytes = engine->runner().memory(request);
        }
        for (std::size_t i = 0; i < output_count; ++i) {
            const View view = output_of(graph, request, wanted[i].number);
            imagen_fast_output& out = *element(outputs, i);
            out.type = view.bytes ? IMAGEN_FAST_UINT8 : IMAGEN_FAST_FLOAT32;
            out.channels = view.channels;
            out.images = view.images;
            out.height = view.height;
            out.width = view.width;
        }
    });
}

imagen_fast_status imagen_fast_run_graph(imagen_fast_engine* engine,
                                         const imagen_fast_input* inputs, size_t input_count,
                                         const imagen_fast_output* outputs, size_t output_count,
                                         const imagen_fast_run_options* options) noexcept {
    return guarded([&] {
        const Graph& graph = not_null(engine, "engine")->graph();
        const auto given = named(graph, inputs, input_count, "inputs", true);
        const auto wanted = named(graph, outputs, output_count, "outputs", true);
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            for (const Named& in : given) {
                refuse_overlap(in.view, wanted[i].view, "inputs and outputs");
            }
            for (std::size_t j = 0; j < i; ++j) {
                refuse_overlap(wanted[j].view, wanted[i].view, "outputs");
            }
        }
        engine->run_graph(given, wanted, watch_of(options));
    });
}

imagen_fast_status imagen_fast_stream_open(imagen_fast_engine* engine,
                                           const imagen_fast_stream_options* options,
                                           imagen_fast_stream** stream) noexcept {
    return guarded([&] {
        *not_null(stream, "stream") = nullptr;
        *stream = new imagen_fast_stream(*not_null(engine, "engine"), options_of(options));
    });
}

imagen_fast_status imagen_fast_stream_push(imagen_fast_stream* stream, const imagen_fast_frame* in,
                                           const imagen_fast_frame* out,
                                           const imagen_fast_run_options* options) noexcept {
    return guarded([&] {
        not_null(stream, "stream")->push(frame_of(in, "in"), frame_of(out, "out"),
                                         watch_of(options));
    });
}

void imagen_fast_stream_close(imagen_fast_stream* stream) noexcept { delete stream; }

void imagen_fast_cancel(imagen_fast_engine* engine) noexcept {
    if (engine) {
        engine->cancel();
    }
}

imagen_fast_status imagen_fast_memory(const imagen_fast_engine* engine, int32_t type,
                                      int64_t height, int64_t width, uint64_t* bytes) noexcept {
    return guarded([&] {
        *not_null(bytes, "bytes") = 0;
        const bool small = is_bytes(type, "type");
        side(height, "height");
        side(width, "width");
        *bytes = not_null(engine, "engine")->memory(height, width, small);
    });
}

int32_t imagen_fast_scale(const imagen_fast_engine* engine) noexcept {
    return engine && engine->pictures() ? engine->graph().scale() : 0;
}

int32_t imagen_fast_channels(const imagen_fast_engine* engine) noexcept {
    return engine && engine->pictures() ? engine->graph().channels() : 0;
}

int32_t imagen_fast_threads(const imagen_fast_engine* engine) noexcept {
    return engine ? engine->runner().threads() : 0;
}

const char* imagen_fast_precision(const imagen_fast_engine* engine) noexcept {
    return engine ? engine->runner().precision().c_str() : "";
}

const char* imagen_fast_isa(const imagen_fast_engine* engine) noexcept {
    return engine ? engine->runner().isa().c_str() : "";
}

const char* imagen_fast_name(const imagen_fast_engine* engine) noexcept {
    const char* name = imagen_fast_metadata(engine, "name");
    return name ? name : "";
}

const char* imagen_fast_metadata(const imagen_fast_engine* engine, const char* key) noexcept {
    if (engine && key) {
        for (const auto& [name, text] : engine->metadata) {  // `find` might allocate, and throw
            if (name == key) {
                return text.c_str();
            }
        }
    }
    return nullptr;
}

int32_t imagen_fast_overlap(const imagen_fast_engine* engine) noexcept {
    return engine ? static_cast<int32_t>(engine->overlap()) : 0;
}

int32_t imagen_fast_exact_overlap(const imagen_fast_engine* engine) noexcept {
    return engine ? static_cast<int32_t>(engine->exact_overlap()) : 0;
}

int64_t imagen_fast_reruns(const imagen_fast_engine* engine) noexcept {
    return engine ? engine->runner().reruns() : 0;
}
