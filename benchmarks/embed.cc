// One program that enlarges pictures of one size: embed MODEL SIDE THREADS SECONDS
//
// Prints milliseconds to load the model, of the first run and of the median later one, how many
// there were, and the bytes that the library said it would hold and that the process grew by.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <imagen_fast.hpp>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

long most_resident() {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
        if (word == "VmHWM:") {
            long kilobytes = 0;
            file >> kilobytes;
            return 1024 * kilobytes;
        }
    }
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        return 2;
    }
    const std::int64_t side = std::atoi(arguments[2]);
    imagen_fast_options options = imagen_fast::api::options();
    options.threads = std::atoi(arguments[3]);

    const auto start = Clock::now();
    imagen_fast::api::Engine engine(arguments[1], options);
    const double load = milliseconds(start);

    std::vector<std::uint8_t> small(3 * side * side), large(small.size() * 16);
    unsigned state = 1;
    for (auto& sample : small) {
        state = state * 1664525u + 1013904223u;
        sample = static_cast<std::uint8_t>(state >> 24);
    }
    std::fill(large.begin(), large.end(), std::uint8_t{1});  // its pages are the caller's
    const auto in = imagen_fast::api::picture_of<imagen_fast_input>(small.data(), side, side, 3);
    const auto out = imagen_fast::api::picture_of<imagen_fast_output>(
        large.data(), engine.scale() * side, engine.scale() * side, 3);
    const long before = most_resident();
    std::vector<double> runs;
    const auto begin = Clock::now();
    while (runs.size() < 3 || milliseconds(begin) < 1000 * std::atof(arguments[4])) {
        const auto now = Clock::now();
        engine.run(in, out);
        runs.push_back(milliseconds(now));
    }
    const double first = runs[0];
    std::sort(runs.begin() + 1, runs.end());
    std::uint64_t estimate = 0;
    imagen_fast::api::check(imagen_fast_memory(engine.get(), in.type, side, side, &estimate));
    std::printf("%s %s %.3f %.3f %.3f %zu %llu %ld\n", engine.isa().c_str(),
                engine.precision().c_str(), load, first, runs[1 + (runs.size() - 1) / 2],
                runs.size() - 1, static_cast<unsigned long long>(estimate),
                most_resident() - before);
}
