// The C API on a GPU, played by a double of the driver: gpu_runs BUNDLE
//
// For the sanitizers: shapes that come and go, tiles, batches in chunks, engines of several threads,
// one engine of several threads, a run that is cancelled, models that are damaged.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "../../imagen_fast/include/imagen_fast.hpp"

namespace {

using imagen_fast::api::Engine;

void expect(bool right, const char* what) {
    if (!right) {
        std::fprintf(stderr, "wrong: %s: %s\n", what, imagen_fast_last_error());
        std::exit(1);
    }
}

imagen_fast_options options() {
    imagen_fast_options options = imagen_fast::api::options();
    options.device = "cuda:0";
    return options;
}

// A batch of pictures as one tile each; the double fills what comes out with 0xA5.
template <class Sample>
void run(const Engine& engine, int n, int h, int w) {
    const int s = engine.scale(), c = engine.channels();
    const std::vector<Sample> small(static_cast<std::size_t>(n) * h * w * c, Sample{1});
    std::vector<Sample> large(small.size() * s * s);
    auto in = imagen_fast::api::picture_of<imagen_fast_input>(small.data(), h, w, c);
    auto out = imagen_fast::api::picture_of<imagen_fast_output>(large.data(), s * h, s * w, c);
    in.images = out.images = n;
    expect(imagen_fast_run_untiled(engine.get(), &in, &out, nullptr) == IMAGEN_FAST_OK, "a run");
    const auto* bytes = reinterpret_cast<const unsigned char*>(large.data());
    expect(bytes[0] == 0xA5 && bytes[large.size() * sizeof(Sample) - 1] == 0xA5, "what comes out");
}

void shapes(const std::string& path) {
    const Engine engine(path, options());
    for (int i = 0; i < 12; ++i) {
        run<std::uint8_t>(engine, 1 + i % 3, 3 + 5 * i, 40 - 3 * i);
        run<float>(engine, 1, 7, 5 + i % 2);
    }
    run<std::uint8_t>(engine, 5, 300, 400);
}

void tiles(const std::string& path) {
    imagen_fast_options how = options();
    how.tile = 64;
    how.overlap = 8;
    Engine engine(path, how);
    const std::vector<std::uint8_t> small(static_cast<std::size_t>(3) * 130 * 90);
    expect(engine.run(small.data(), 130, 90).size() == small.size() * engine.scale() * engine.scale(),
           "tiles");
    imagen_fast::api::Watch watch;
    watch.cancelled = [] { return true; };
    try {
        engine.run(small.data(), 130, 90, watch);
        expect(false, "a cancelled run");
    } catch (const imagen_fast::api::Error& error) {
        expect(error.status() == IMAGEN_FAST_CANCELLED, "a cancelled run");
    }
}

// The first output of the first input by their names, and nothing else.
void named(const std::string& path) {
    const Engine engine(path, options());
    const int s = engine.scale(), c = engine.channels();
    const std::vector<float> small(static_cast<std::size_t>(7) * 5 * c, 1.0f);
    std::vector<float> large(small.size() * s * s);
    const auto in = imagen_fast::api::picture_of<imagen_fast_input>(small.data(), 7, 5, c);
    auto out = imagen_fast::api::picture_of<imagen_fast_output>(large.data(), 7 * s, 5 * s, c);
    expect(imagen_fast_run_graph(engine.get(), &in, 1, &out, 1, nullptr) == IMAGEN_FAST_OK,
           "a run by names");
}

void together(const std::string& path) {
    const Engine shared(path, options());
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            const Engine own(path, options());
            for (int k = 0; k < 3; ++k) {
                run<std::uint8_t>(own, 1, 6 + i, 9);
                run<std::uint8_t>(shared, 1, 6 + (i + k) % 3, 9);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

void damaged(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> whole((std::istreambuf_iterator<char>(file)), {});
    const imagen_fast_options how = options();
    unsigned state = 1;
    for (int i = 0; i < 400; ++i) {
        std::vector<char> model = whole;
        state = state * 1664525u + 1013904223u;
        const std::size_t at = (state >> 4) % model.size();
        if (i % 4) {
            model[i % 2 ? at : at % (model.size() / 3)] ^= static_cast<char>(1 << (state >> 1 & 7));
        } else {
            model.resize(at);
        }
        imagen_fast_engine* engine = nullptr;
        const auto status = imagen_fast_load_memory(model.data(), model.size(), &how, &engine);
        expect((status == IMAGEN_FAST_OK) == (engine != nullptr), "a damaged model");
        imagen_fast_free(engine);
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        return 2;
    }
    shapes(arguments[1]);
    tiles(arguments[1]);
    named(arguments[1]);
    together(arguments[1]);
    damaged(arguments[1]);
    std::puts("ok");
}
