// A program that embeds the library: enlarge MODEL DEVICE THREADS N H W ROUNDS IN OUT
//
// IN holds the bytes of N pictures (N, H, W, C), OUT gets theirs. Prints milliseconds to load the
// model, of the first run and of ROUNDS later ones; on a GPU from pinned to pinned memory, one tile
// whatever the size. On a CPU then, after the word `memory`, the bytes that the library said it
// would hold and those that the process grew by. The output is filled with other bytes before each
// of two runs: exit code 1 if they differ after.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <dlfcn.h>

#include <imagen_fast.hpp>

namespace {

namespace api = imagen_fast::api;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// Memory that the GPU reads and writes by itself, of the context that the engine uses.
std::uint8_t* pinned(std::size_t bytes) {
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    const auto retain =
        reinterpret_cast<int (*)(void**, int)>(dlsym(library, "cuDevicePrimaryCtxRetain"));
    const auto push = reinterpret_cast<int (*)(void*)>(dlsym(library, "cuCtxPushCurrent_v2"));
    const auto take =
        reinterpret_cast<int (*)(void**, std::size_t, unsigned)>(dlsym(library, "cuMemHostAlloc"));
    void *context = nullptr, *data = nullptr;
    if (retain(&context, 0) || push(context) || take(&data, bytes, 1)) {
        std::fprintf(stderr, "no pinned memory\n");
        std::exit(1);
    }
    return static_cast<std::uint8_t*>(data);
}

long long most_resident() {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
        if (word == "VmHWM:") {
            long long kilobytes = 0;
            file >> kilobytes;
            return 1024 * kilobytes;
        }
    }
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 10) {
        return 2;
    }
    const std::int64_t n = std::atoi(arguments[4]), h = std::atoi(arguments[5]);
    const std::int64_t w = std::atoi(arguments[6]);
    const bool on_gpu = std::strcmp(arguments[2], "cpu") != 0;
    imagen_fast_options options = api::options();
    options.device = arguments[2];
    options.threads = std::atoi(arguments[3]);
    try {
        const auto start = Clock::now();
        api::Engine engine(arguments[1], options);
        const double load = milliseconds(start);
        const std::int64_t s = engine.scale(), small = n * h * w * engine.channels();
        const auto size = static_cast<std::size_t>(small * s * s);
        std::vector<std::uint8_t> plain(on_gpu ? 0 : small + size);
        std::uint8_t* const given = on_gpu ? pinned(small + size) : plain.data();
        std::uint8_t* const taken = given + small;
        std::ifstream(arguments[8], std::ios::binary)
            .read(reinterpret_cast<char*>(given), small);
        auto in = api::picture_of<imagen_fast_input>(static_cast<const std::uint8_t*>(given), h, w,
                                                     engine.channels());
        auto out = api::picture_of<imagen_fast_output>(taken, s * h, s * w, engine.channels());
        in.images = out.images = n;
        const auto run = [&] {
            const auto now = Clock::now();
            if (on_gpu) {
                api::check(imagen_fast_run_untiled(engine.get(), &in, &out, nullptr));
            } else {
                engine.run(in, out);
            }
            return milliseconds(now);
        };
        std::memset(taken, 0x00, size);
        const long long resident = most_resident();
        std::printf("%.4f\n%.4f\n", load, run());
        const long long grown = most_resident() - resident;
        const std::vector<std::uint8_t> before(taken, taken + size);
        std::memset(taken, 0xFF, size);
        run();
        if (std::memcmp(taken, before.data(), size) != 0) {
            std::fprintf(stderr, "two runs differ, or did not write all of the output\n");
            return 1;
        }
        for (int i = 0; i < std::atoi(arguments[7]); ++i) {
            std::printf("%.4f\n", run());
        }
        if (!on_gpu) {
            std::uint64_t estimate = 0;
            api::check(imagen_fast_memory(engine.get(), in.type, h, w, &estimate));
            std::printf("memory %llu %lld\n", static_cast<unsigned long long>(estimate), grown);
        }
        std::ofstream(arguments[9], std::ios::binary)
            .write(reinterpret_cast<const char*>(taken), static_cast<std::streamsize>(size));
    } catch (const api::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
