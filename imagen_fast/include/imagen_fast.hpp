// imagen_fast.h for C++17: engines that give themselves back, errors that are thrown.
//
//     imagen_fast::api::Engine engine("sr-x4-tiny.safetensors");
//     std::vector<std::uint8_t> large = engine.run(pixels.data(), height, width);
//
// imagen_fast.h says what everything means; its functions take engine.get().
#ifndef IMAGEN_FAST_HPP
#define IMAGEN_FAST_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "imagen_fast.h"

namespace imagen_fast::api {

// A call failed: what() is the library's message.
class Error : public std::runtime_error {
public:
    explicit Error(imagen_fast_status status)
        : std::runtime_error(imagen_fast_last_error()), status_(status) {}

    imagen_fast_status status() const noexcept { return status_; }

private:
    imagen_fast_status status_;
};

inline void check(imagen_fast_status status) {
    if (status != IMAGEN_FAST_OK) {
        throw Error(status);
    }
}

// Options whose size is set, the rest 0; runs take imagen_fast_run_options alike.
inline imagen_fast_options options() {
    imagen_fast_options options{};
    options.size = sizeof options;
    return options;
}

// To watch a run; either may be empty. Neither may throw.
struct Watch {
    std::function<bool()> cancelled;
    std::function<void(double)> progress;
};

// The watch must outlive what is returned.
inline imagen_fast_run_options watched(const Watch& watch) {
    imagen_fast_run_options options{};
    options.size = sizeof options;
    options.user = const_cast<Watch*>(&watch);
    if (watch.cancelled) {
        options.cancelled = [](void* user) noexcept {
            return static_cast<std::int32_t>(static_cast<Watch*>(user)->cancelled());
        };
    }
    if (watch.progress) {
        options.progress = [](double done, void* user) noexcept {
            static_cast<Watch*>(user)->progress(done);
        };
    }
    return options;
}

// One picture (H, W, C) without gaps, of std::uint8_t or float.
template <class Picture, class Sample>
Picture picture_of(Sample* pixels, std::int64_t height, std::int64_t width, int channels) {
    using Plain = std::remove_const_t<Sample>;
    static_assert(std::is_same_v<Plain, std::uint8_t> || std::is_same_v<Plain, float>);
    Picture picture{};
    picture.size = sizeof picture;
    picture.data = pixels;
    picture.type = sizeof(Sample) == 1 ? IMAGEN_FAST_UINT8 : IMAGEN_FAST_FLOAT32;
    picture.channels = channels;
    picture.images = 1;
    picture.height = height;
    picture.width = width;
    return picture;
}

// An array (N, H, W, C) without gaps: one of a model's inputs or outputs.
struct Array {
    std::string name;
    std::int64_t images = 0, height = 0, width = 0;
    int channels = 0;
    std::vector<float> values;
};

class Engine {
public:
    explicit Engine(const std::string& path, const imagen_fast_options& how = options()) {
        imagen_fast_engine* engine = nullptr;
        check(imagen_fast_load(path.c_str(), &how, &engine));
        engine_.reset(engine);
    }
    Engine(const void* data, std::size_t bytes, const imagen_fast_options& how = options()) {
        imagen_fast_engine* engine = nullptr;
        check(imagen_fast_load_memory(data, bytes, &how, &engine));
        engine_.reset(engine);
    }

    imagen_fast_engine* get() const noexcept { return engine_.get(); }
    int scale() const noexcept { return imagen_fast_scale(get()); }
    int channels() const noexcept { return imagen_fast_channels(get()); }
    std::string precision() const { return imagen_fast_precision(get()); }
    std::string isa() const { return imagen_fast_isa(get()); }

    // What the model reads and gives, by names: see imagen_fast_input_info.
    std::vector<imagen_fast_info> inputs() const {
        return infos(imagen_fast_input_count(get()), imagen_fast_input_info);
    }
    std::vector<imagen_fast_info> outputs() const {
        return infos(imagen_fast_output_count(get()), imagen_fast_output_info);
    }

    // Outputs of these names from inputs by theirs, all of floats: see imagen_fast_run_graph.
    std::vector<Array> run(const std::vector<Array>& given, const std::vector<std::string>& wanted,
                           const Watch& watch = {}) {
        std::vector<imagen_fast_input> in;
        for (const Array& array : given) {
            in.push_back({sizeof(imagen_fast_input), array.values.data(), IMAGEN_FAST_FLOAT32,
                          array.channels, array.images, array.height, array.width, 0, 0, 0,
                          array.name.c_str()});
        }
        std::vector<imagen_fast_output> out(wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            out[i].size = sizeof out[i];
            out[i].name = wanted[i].c_str();
        }
        check(imagen_fast_sizes(get(), in.data(), in.size(), out.data(), out.size(), nullptr));
        for (const Array& array : given) {
            const std::int64_t pixels = array.images * array.height * array.width;
            if (static_cast<std::int64_t>(array.values.size()) != pixels * array.channels) {
                throw std::invalid_argument(array.name + " has another number of values than it says");
            }
        }
        std::vector<Array> results;
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const auto count = out[i].images * out[i].height * out[i].width * out[i].channels;
            results.push_back({wanted[i], out[i].images, out[i].height, out[i].width,
                               out[i].channels,
                               std::vector<float>(static_cast<std::size_t>(count))});
            out[i].data = results.back().values.data();
        }
        const imagen_fast_run_options options = watched(watch);
        check(imagen_fast_run_graph(get(), in.data(), in.size(), out.data(), out.size(), &options));
        return results;
    }

    // Pictures with strides, or several: see imagen_fast_run.
    void run(const imagen_fast_input& in, const imagen_fast_output& out, const Watch& watch = {}) {
        const imagen_fast_run_options options = watched(watch);
        check(imagen_fast_run(get(), &in, &out, &options));
    }

    // One picture (H, W, C) without gaps → (s·H, s·W, C).
    template <class Sample>
    std::vector<Sample> run(const Sample* pixels, std::int64_t height, std::int64_t width,
                            const Watch& watch = {}) {
        const std::int64_t s = scale();
        const auto in = picture_of<imagen_fast_input>(pixels, height, width, channels());
        std::vector<Sample> large(static_cast<std::size_t>(s * height * s * width * channels()));
        run(in, picture_of<imagen_fast_output>(large.data(), s * height, s * width, channels()),
            watch);
        return large;
    }

private:
    template <class Describe>
    std::vector<imagen_fast_info> infos(std::int32_t count, Describe describe) const {
        std::vector<imagen_fast_info> all(static_cast<std::size_t>(count));
        for (std::int32_t i = 0; i < count; ++i) {
            all[static_cast<std::size_t>(i)].size = sizeof(imagen_fast_info);
            check(describe(get(), i, &all[static_cast<std::size_t>(i)]));
        }
        return all;
    }

    struct Free {
        void operator()(imagen_fast_engine* engine) const noexcept { imagen_fast_free(engine); }
    };
    std::unique_ptr<imagen_fast_engine, Free> engine_;
};

// A running video: see imagen_fast_stream_open. Its engine must outlive it.
class Stream {
public:
    Stream(Engine& engine, const imagen_fast_stream_options& how) {
        imagen_fast_stream* stream = nullptr;
        check(imagen_fast_stream_open(engine.get(), &how, &stream));
        stream_.reset(stream);
    }

    // Computes a frame: see imagen_fast_stream_push.
    void push(const imagen_fast_frame& in, const imagen_fast_frame& out, const Watch& watch = {}) {
        const imagen_fast_run_options options = watched(watch);
        check(imagen_fast_stream_push(stream_.get(), &in, &out, &options));
    }

private:
    struct Close {
        void operator()(imagen_fast_stream* stream) const noexcept {
            imagen_fast_stream_close(stream);
        }
    };
    std::unique_ptr<imagen_fast_stream, Close> stream_;
};

}  // namespace imagen_fast::api

#endif
