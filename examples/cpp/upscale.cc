// Enlarges a picture: upscale MODEL.safetensors IN.ppm OUT.ppm [THREADS]
//
// Shows how far it is, and ends early and cleanly on Ctrl-C.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include <imagen_fast.hpp>

#include "ppm.h"

namespace {

volatile std::sig_atomic_t interrupted = 0;

int threads_of(const char* text) {
    int threads = 0;
    const char* const end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, threads);
    if (error != std::errc() || stop != end) {
        throw std::runtime_error(std::string("THREADS is ") + text + "; expected a number");
    }
    return threads;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 4 || count > 5) {
        std::fprintf(stderr, "usage: upscale MODEL.safetensors IN.ppm OUT.ppm [THREADS]\n");
        return 2;
    }
    try {
        imagen_fast_options options = imagen_fast::api::options();
        options.threads = count > 4 ? threads_of(arguments[4]) : 0;
        imagen_fast::api::Engine engine(arguments[1], options);
        std::fprintf(stderr, "%s on %s in %s\n", imagen_fast_name(engine.get()),
                     engine.isa().c_str(), engine.precision().c_str());

        const Picture small = read_ppm(arguments[2]);
        std::signal(SIGINT, [](int) { interrupted = 1; });
        imagen_fast::api::Watch watch;
        watch.cancelled = [] { return interrupted != 0; };
        watch.progress = [](double done) { std::fprintf(stderr, "\r%3.0f %%", 100 * done); };
        Picture large{engine.scale() * small.height, engine.scale() * small.width, {}};
        large.pixels = engine.run(small.pixels.data(), small.height, small.width, watch);
        std::fprintf(stderr, "\n");
        write_ppm(arguments[3], large);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "upscale: %s\n", error.what());
        return 1;
    }
}
