// What programs that try the C API share: what they expect of it, and a run of a picture.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../imagen_fast/include/imagen_fast.hpp"

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "%s (last error: %s)\n", what.c_str(), imagen_fast_last_error());
    std::exit(1);
}

inline void expect(imagen_fast_status status, imagen_fast_status expected, const char* message,
                   const std::string& what) {
    if (status != expected || !std::strstr(imagen_fast_last_error(), message)) {
        fail(what + " gives " + imagen_fast_status_text(status) + ", expected " +
             imagen_fast_status_text(expected) + " and '" + message + "'");
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
