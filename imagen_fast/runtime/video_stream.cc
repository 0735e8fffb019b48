#include "video_stream.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>

#include "arguments.h"
#include "color_bounds.h"
#include "error.h"

namespace imagen_fast {

namespace {

bool halved(FrameLayout layout) { return layout == FrameLayout::nv12 || layout == FrameLayout::i420; }

int plane_count(FrameLayout layout) {
    return layout == FrameLayout::i420 ? 3 : layout == FrameLayout::nv12 ? 2 : 1;
}

// Bytes that a row of a plane takes at least.
std::int64_t row_bytes(FrameLayout layout, int plane, std::int64_t width) {
    if (!halved(layout)) {
        return 3 * width;
    }
    return plane == 0 || layout == FrameLayout::nv12 ? width : width / 2;
}

// The frame with all strides set.
FrameMemory checked(FrameMemory frame, FrameLayout layout, std::int64_t width, const std::string& name) {
    for (int i = 0; i < plane_count(layout); ++i) {
        const std::string plane = name + ".planes[" + std::to_string(i) + "]";
        not_null(frame.planes[i], plane.c_str());
        const std::int64_t least = row_bytes(layout, i, width);
        std::int64_t& stride = frame.strides[i];
        stride = stride ? stride : least;
        if (stride == std::numeric_limits<std::int64_t>::min() || std::abs(stride) < least) {
            throw ArgumentError(name + ".strides[" + std::to_string(i) + "] is " +
                                std::to_string(stride) + " bytes; expected 0, or at least " +
                                std::to_string(least) + " in either direction");
        }
    }
    return frame;
}

Planes planes_of(const FrameMemory& frame, FrameLayout layout) {
    const auto& [planes, strides] = frame;
    if (layout == FrameLayout::nv12) {
        return {planes[0], planes[1], planes[1] + 1, strides[0], strides[1], strides[1], 2};
    }
    return {planes[0], planes[1], planes[2], strides[0], strides[1], strides[2], 1};
}

View rgb(std::uint8_t* pixels, std::int64_t row, std::int64_t height, std::int64_t width) {
    View view;
    view.data = reinterpret_cast<std::byte*>(pixels);
    view.bytes = true;
    view.channels = 3;
    view.images = 1;
    view.height = height;
    view.width = width;
    view.pixel_stride = 3;
    view.row_stride = row;
    view.image_stride = height * row;
    return view;
}

View packed(std::vector<std::uint8_t>& pixels, std::int64_t height, std::int64_t width) {
    return rgb(pixels.data(), 3 * width, height, width);
}

View rgb(const FrameMemory& frame, std::int64_t height, std::int64_t width) {
    return rgb(frame.planes[0], frame.strides[0], height, width);
}

}  // namespace

VideoStream::VideoStream(PictureEngine& engine, const StreamOptions& options)
    : engine_(engine), options_(options), yuv_(options.weights, options.full_range) {
    recurrent_ = engine.graph().recurrent();
    const std::int64_t scale = engine.graph().scale();
    if (!(engine.pictures() || (recurrent_ && scale)) || engine.graph().channels() != 3) {
        throw BackendError("a video needs a model that makes a picture of red, green and blue of one");
    }
    if ((halved(options.in) || halved(options.out)) && (options.height % 2 || options.width % 2)) {
        throw ArgumentError("NV12 and I420 frames have even sizes; these are " +
                            std::to_string(options.width) + " x " + std::to_string(options.height));
    }
    constexpr std::int64_t most = 1 << 30;  // bytes of a frame's row, and pixels
    if (options.height * scale > most / (options.width * scale) || options.width * scale > most / 3) {
        throw ArgumentError("frames are too large; run pictures of this size one by one");
    }
    if (options.in != FrameLayout::rgb || recurrent_) {
        given_.resize(static_cast<std::size_t>(3 * options.height * options.width));
    }
    if (halved(options.out) || recurrent_) {
        made_.resize(static_cast<std::size_t>(3 * options.height * options.width * scale * scale));
    }
}

// As imagen_fast/recurrent.py has it, which says what the numbers are.
bool VideoStream::is_cut(const View& frame) {
    const std::int64_t high = std::min<std::int64_t>(8, frame.height),
                       wide = std::min<std::int64_t>(8, frame.width), rows = frame.height / high,
                       columns = frame.width / wide;
    std::vector<std::int64_t> seen(static_cast<std::size_t>(rows * columns));
    for (std::int64_t y = 0; y < rows * high; ++y) {
        std::int64_t* sums = seen.data() + y / high * columns;
        for (std::int64_t x = 0; x < columns * wide; ++x) {
            sums[x / wide] += static_cast<std::uint8_t>(frame.at(0, y, x)[1]);
        }
    }
    std::int64_t changed = 0;
    for (std::size_t i = 0; i < seen.size() && begun_; ++i) {
        changed += std::abs(seen[i] - seen_[i]);
    }
    seen_.swap(seen);
    return 10 * changed > 255 * rows * high * columns * wide;
}

void VideoStream::run_recurrent(const View& in, const View& out, const Watch& watch) {
    const Graph& graph = engine_.graph();
    const int input = graph.input("previous"), output = graph.output("previous");
    const int channels = graph.values[static_cast<std::size_t>(input)].channels;
    const bool begins = is_cut(in) || !begun_;
    const auto of = [&](std::vector<float>& floats) {
        floats.resize(static_cast<std::size_t>(in.height * in.width * channels));
        View view = in;
        view.data = reinterpret_cast<std::byte*>(floats.data());
        view.bytes = false;
        view.channels = channels;
        view.pixel_stride = channels * std::int64_t{sizeof(float)};
        view.row_stride = in.width * view.pixel_stride;
        view.image_stride = in.height * view.row_stride;
        return view;
    };
    if (begins) {
        previous_.clear();  // so that it becomes zeros
    }
    begun_ = false;  // unless all goes well
    engine_.run_graph({{0, in}, {input, of(previous_)}}, {{0, out}, {output, of(next_)}}, watch);
    bound_colors({1, static_cast<int>(in.height), static_cast<int>(in.width)}, graph.scale(),
                 in.data, out.data, true, 1);
    previous_.swap(next_);
    begun_ = true;
}

void VideoStream::push(const FrameMemory& in, const FrameMemory& out, const Watch& watch) {
    const std::int64_t scale = engine_.graph().scale(), height = options_.height,
                       width = options_.width, rows = height * scale, columns = width * scale;
    const FrameMemory given = checked(in, options_.in, width, "in");
    const FrameMemory made = checked(out, options_.out, columns, "out");
    const std::lock_guard<std::mutex> turn(turn_);

    View source = options_.in == FrameLayout::rgb ? rgb(given, height, width)
                                             : packed(given_, height, width);
    if (options_.in == FrameLayout::bgr) {
        for (std::int64_t y = 0; y < height; ++y) {
            const std::uint8_t* from = given.planes[0] + y * given.strides[0];
            std::uint8_t* to = given_.data() + 3 * width * y;
            for (std::int64_t x = 0; x < 3 * width; x += 3) {
                to[x] = from[x + 2];
                to[x + 1] = from[x + 1];
                to[x + 2] = from[x];
            }
        }
    } else if (halved(options_.in)) {
        yuv_.to_rgb(planes_of(given, options_.in), height, width, given_.data(), 3 * width);
    }

    const View target = halved(options_.out) ? packed(made_, rows, columns)
                                             : rgb(made, rows, columns);
    if (options_.in == FrameLayout::rgb && !halved(options_.out)) {
        refuse_overlap(source, target, "in and out");
    }
    if (recurrent_) {
        const View whole = packed(given_, height, width), result = packed(made_, rows, columns);
        if (source.data != whole.data) {
            pack(source, whole.data);
        }
        run_recurrent(whole, result, watch);
        if (target.data != result.data) {
            fill(target, result.data);
        }
    } else {
        engine_.run(source, target, watch);
    }

    if (options_.out == FrameLayout::bgr) {
        for (std::int64_t y = 0; y < rows; ++y) {
            std::uint8_t* row = made.planes[0] + y * made.strides[0];
            for (std::int64_t x = 0; x < 3 * columns; x += 3) {
                std::swap(row[x], row[x + 2]);
            }
        }
    } else if (halved(options_.out)) {
        yuv_.from_rgb(made_.data(), 3 * columns, rows, columns, planes_of(made, options_.out));
    }
}

}  // namespace imagen_fast
