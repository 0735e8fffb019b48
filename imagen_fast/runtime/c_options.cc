#include "c_options.h"

#include <string>

#include "arguments.h"
#include "cuda_device.h"
#include "error.h"

namespace imagen_fast {

namespace {

constexpr std::size_t kMostCores = 1024;  // as many as there may be threads

FrameLayout layout_of(std::int32_t format, FrameLayout usual, const char* name) {
    if (format == 0) {
        return usual;
    }
    if (format < IMAGEN_FAST_RGB || format > IMAGEN_FAST_I420) {
        throw ArgumentError(std::string(name) + " is " + std::to_string(format) +
                            "; expected 0 or one of IMAGEN_FAST_RGB, BGR, NV12, I420");
    }
    return static_cast<FrameLayout>(format);
}

}  // namespace

PictureOptions options_of(const imagen_fast_options* given) {
    const imagen_fast_options options = structure(given, "imagen_fast_options");
    PictureOptions wanted;
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

StreamOptions options_of(const imagen_fast_stream_options* given) {
    const imagen_fast_stream_options options =
        structure(not_null(given, "options"), "imagen_fast_stream_options");
    side(options.width, "width");
    side(options.height, "height");
    StreamOptions wanted;
    wanted.width = options.width;
    wanted.height = options.height;
    wanted.in = layout_of(options.format, FrameLayout::rgb, "format");
    wanted.out = layout_of(options.out_format, wanted.in, "out_format");
    constexpr std::int64_t most_of_bt601 = 576;
    switch (options.matrix) {
        case 0: wanted.weights = options.height > most_of_bt601 ? kBt709 : kBt601; break;
        case IMAGEN_FAST_BT601: wanted.weights = kBt601; break;
        case IMAGEN_FAST_BT709: wanted.weights = kBt709; break;
        case IMAGEN_FAST_BT2020: wanted.weights = kBt2020; break;
        default:
            throw ArgumentError("matrix is " + std::to_string(options.matrix) +
                                "; expected 0 or one of IMAGEN_FAST_BT601, BT709, BT2020");
    }
    if (options.full_range < 0 || options.full_range > 1) {
        throw ArgumentError("full_range is " + std::to_string(options.full_range) +
                            "; expected 0 or 1");
    }
    wanted.full_range = options.full_range;
    return wanted;
}

FrameMemory frame_of(const imagen_fast_frame* given, const char* name) {
    const imagen_fast_frame frame = structure(not_null(given, name), "imagen_fast_frame");
    FrameMemory memory;
    for (int i = 0; i < 3; ++i) {
        memory.planes[i] = static_cast<std::uint8_t*>(frame.planes[i]);
        memory.strides[i] = frame.strides[i];
    }
    return memory;
}

}  // namespace imagen_fast
