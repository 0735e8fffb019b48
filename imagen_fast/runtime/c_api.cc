// The C API: arguments checked, exceptions turned into statuses, everything else elsewhere.
#include "../include/imagen_fast.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "arguments.h"
#include "cuda_device.h"
#include "error.h"
#include "upscaler.h"

using namespace imagen_fast;

struct imagen_fast_engine : Upscaler {
    using Upscaler::Upscaler;
};

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

// Runs `work`; nothing that it throws gets out.
template <class Work>
imagen_fast_status guarded(const Work& work) noexcept {
    try {
        work();
        return IMAGEN_FAST_OK;
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

constexpr std::size_t kMostCores = 1024;  // as many as there may be threads

UpscalerOptions options_of(const imagen_fast_options* given) {
    const imagen_fast_options options = structure(given, "imagen_fast_options");
    UpscalerOptions wanted;
    wanted.precision = precision_of(options.precision);
    wanted.isa = options.isa ? options.isa : "";
    wanted.pool.threads = options.threads ? options.threads : usable_cores();
    wanted.pool.spin_us = chosen("spin_us", options.spin_us, wanted.pool.spin_us, 0);
    wanted.tile = options.tile;
    wanted.overlap = chosen("overlap", options.overlap, -1, 0);
    wanted.memory = options.memory;
    wanted.device = options.device ? options.device : "";
    if (!wanted.device.empty() && wanted.device != "cpu") {
        (void)cuda::index_of(wanted.device);  // a wrong name is an error before the file is read
    }
    if (options.reserved) {
        throw ArgumentError("imagen_fast_options.reserved is not 0");
    }
    if (!options.cores != !options.core_count) {
        throw ArgumentError("cores and core_count must be given together");
    }
    if (options.core_count > kMostCores) {
        throw ArgumentError("core_count is " + std::to_string(options.core_count) +
                            "; expected at most " + std::to_string(kMostCores));
    }
    wanted.pool.cores.assign(options.cores, options.cores + options.core_count);
    return wanted;
}

template <class Open>
imagen_fast_status loaded(const imagen_fast_options* options, imagen_fast_engine** engine,
                          const Open& open) noexcept {
    return guarded([&] {
        *not_null(engine, "engine") = nullptr;
        const UpscalerOptions wanted = options_of(options);
        const bool gpu = !wanted.device.empty() && wanted.device != "cpu";
        const Bundle bundle = open(gpu ? Bundle::Kind::any : Bundle::Kind::model);
        *engine = new imagen_fast_engine(bundle, wanted);
    });
}

Watch watch_of(const imagen_fast_run_options* given) {
    const imagen_fast_run_options options = structure(given, "imagen_fast_run_options");
    Watch watch;
    if (options.cancelled) {
        watch.stop = [=] { return options.cancelled(options.user) != 0; };
    }
    if (options.progress) {
        watch.progress = [=](double done) { options.progress(done, options.user); };
    }
    return watch;
}

using Run = void (Upscaler::*)(const View&, const View&, const Watch&);

imagen_fast_status ran(imagen_fast_engine* engine, const imagen_fast_input* in,
                       const imagen_fast_output* out, const imagen_fast_run_options* options,
                       Run run) noexcept {
    return guarded([&] {
        not_null(engine, "engine");
        const View source = view_of(not_null(in, "in"), "input");
        const View target = view_of(not_null(out, "out"), "output");
        refuse_overlap(source, target);
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

const char* imagen_fast_last_error() noexcept { return last_error; }

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
    return ran(engine, in, out, options, &Upscaler::run);
}

imagen_fast_status imagen_fast_run_untiled(imagen_fast_engine* engine, const imagen_fast_input* in,
                                           const imagen_fast_output* out,
                                           const imagen_fast_run_options* options) noexcept {
    return ran(engine, in, out, options, &Upscaler::run_untiled);
}

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
    return engine ? engine->spec().scale : 0;
}

int32_t imagen_fast_channels(const imagen_fast_engine* engine) noexcept {
    return engine ? engine->spec().image_channels : 0;
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
