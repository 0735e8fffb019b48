// Rows of a picture shared out to threads, which end with the work.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace imagen_fast {

// How many parts so many rows have: as many as there are threads, but no more than are worth it for
// so many pixels in all.
inline int parts_of(int rows, std::size_t pixels, int threads) {
    constexpr std::size_t worth_it = 1 << 16;
    return static_cast<int>(std::min<std::size_t>({static_cast<std::size_t>(std::max(threads, 1)),
                                                   pixels / worth_it + 1,
                                                   static_cast<std::size_t>(std::max(rows, 1))}));
}

// work(part, from, to) for parts of the rows, each in a thread of its own while there are any. It must
// not throw.
template <class Work>
void in_parts(int rows, int parts, const Work& work) {
    const auto run = [&](int part) {
        const auto row = [&](std::int64_t i) { return static_cast<int>(rows * i / parts); };
        work(part, row(part), row(part + 1));
    };
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(parts));
    for (int part = 1; part < parts; ++part) {
        try {
            others.emplace_back(run, part);
        } catch (const std::exception&) {  // no more threads, or no memory for one
            run(part);
        }
    }
    run(0);
    for (std::thread& other : others) {
        other.join();
    }
}

}  // namespace imagen_fast
