// A program that embeds the library, on a GPU: enlarge BUNDLE DEVICE N H W ROUNDS IN OUT
//
// IN holds the bytes of N pictures (N, H, W, C), OUT gets theirs. Prints milliseconds to load the
// model and of the first run, then microseconds of ROUNDS later ones, from pinned to pinned memory.
// The output is filled with other bytes before each of two runs: exit code 1 if they differ after.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include <dlfcn.h>

#include <imagen_fast.hpp>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// Memory that the GPU reads and writes by itself, of the context that the engine uses.
std::uint8_t* pinned(int device, std::size_t bytes) {
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    const auto retain =
        reinterpret_cast<int (*)(void**, int)>(dlsym(library, "cuDevicePrimaryCtxRetain"));
    const auto push = reinterpret_cast<int (*)(void*)>(dlsym(library, "cuCtxPushCurrent_v2"));
    const auto take =
        reinterpret_cast<int (*)(void**, std::size_t, unsigned)>(dlsym(library, "cuMemHostAlloc"));
    void *context = nullptr, *data = nullptr;
    if (retain(&context, device) || push(context) || take(&data, bytes, 1)) {
        std::fprintf(stderr, "no pinned memory\n");
        std::exit(1);
    }
    return static_cast<std::uint8_t*>(data);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 9) {
        return 2;
    }
    const std::int64_t n = std::atoi(arguments[3]), h = std::atoi(arguments[4]);
    const std::int64_t w = std::atoi(arguments[5]);
    imagen_fast_options options = imagen_fast::api::options();
    options.device = arguments[2];
    try {
        const auto start = Clock::now();
        imagen_fast::api::Engine engine(arguments[1], options);
        const double load = milliseconds(start);
        const std::int64_t s = engine.scale(), small = n * h * w * engine.channels();
        std::uint8_t* const given = pinned(0, static_cast<std::size_t>(small * (1 + s * s)));
        std::uint8_t* const taken = given + small;
        std::ifstream(arguments[7], std::ios::binary)
            .read(reinterpret_cast<char*>(given), small);
        auto in = imagen_fast::api::picture_of<imagen_fast_input>(
            static_cast<const std::uint8_t*>(given), h, w, engine.channels());
        auto out = imagen_fast::api::picture_of<imagen_fast_output>(taken, s * h, s * w,
                                                                    engine.channels());
        in.images = out.images = n;
        const auto run = [&] {
            const auto now = Clock::now();
            imagen_fast::api::check(imagen_fast_run_untiled(engine.get(), &in, &out, nullptr));
            return milliseconds(now);
        };
        const auto size = static_cast<std::size_t>(small * s * s);
        std::memset(taken, 0x00, size);
        std::printf("%.3f\n%.3f\n", load, run());
        const std::vector<std::uint8_t> before(taken, taken + size);
        std::memset(taken, 0xFF, size);
        run();
        if (std::memcmp(taken, before.data(), size) != 0) {
            std::fprintf(stderr, "two runs differ, or did not write all of the output\n");
            return 1;
        }
        for (int i = 0; i < std::atoi(arguments[6]); ++i) {
            std::printf("%.3f\n", 1000 * run());
        }
        std::ofstream(arguments[8], std::ios::binary)
            .write(reinterpret_cast<const char*>(taken), static_cast<std::streamsize>(size));
    } catch (const imagen_fast::api::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
