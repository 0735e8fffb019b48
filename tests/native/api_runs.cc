// Models through the C API, for the sanitizers to look at: api_runs BUNDLE...
//
// Damaged models, pictures in tiles and whole, threads at once, runs that are cancelled, frames: the
// right status and a message, and nothing that a sanitizer objects to. Arguments that cannot be are
// in api_arguments.cc.
#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "api_run.h"

namespace {

using imagen_fast::api::options;

std::vector<char> content(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Cut off, changed, garbage: an engine or a message, and a run at most.
void damaged(const std::vector<char>& model) {
    const auto load = [](const std::vector<char>& bytes) {
        imagen_fast_options how = options();
        how.isa = "generic";
        how.precision = IMAGEN_FAST_FP32;
        how.threads = 1;
        imagen_fast_engine* engine = nullptr;
        const auto status = imagen_fast_load_memory(bytes.data(), bytes.size(), &how, &engine);
        if (status == IMAGEN_FAST_OK) {
            if (imagen_fast_scale(engine)) {
                (void)Run(engine)();
            }
        } else if (status != IMAGEN_FAST_BAD_MODEL || !*imagen_fast_last_error()) {
            fail("a damaged model gives another status");
        }
        imagen_fast_free(engine);
        return status;
    };
    const std::size_t whole = model.size();
    for (std::size_t length = 1; length < whole; length += 1 + (length > 3000 ? whole / 40 : 13)) {
        if (load({model.begin(), model.begin() + length}) == IMAGEN_FAST_OK) {
            fail("a model that is cut off is taken");
        }
    }
    unsigned state = 1;
    for (int i = 0; i < 150; ++i) {
        std::vector<char> changed = model;
        state = state * 1664525u + 1013904223u;
        changed[(state >> 8) % (i % 3 ? 600 : whole)] = static_cast<char>(state >> 4);
        (void)load(changed);
    }
    (void)load(std::vector<char>(5000, '{'));
}

std::vector<float> noise(std::size_t count) {
    std::vector<float> values(count);
    unsigned state = 1;
    for (float& value : values) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) / (1 << 24);
    }
    return values;
}

void at_once(const char* path) {
    imagen_fast_options how = options();
    how.threads = 2;
    how.tile = 48;
    how.overlap = 4;
    how.precision = IMAGEN_FAST_FP32;
    imagen_fast::api::Engine engine(path, how);
    const auto image = noise(70 * 60 * engine.channels());
    const auto expected = engine.run(image.data(), 70, 60);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&, i] {
            for (int j = 0; j < 2; ++j) {
                double last = 0;
                const auto found = engine.run(image.data(), 70, 60, {[] { return false; },
                                              [&](double done) { last = done; }});
                if (found != expected || last != 1) {
                    fail("threads change the answer");
                }
                (void)engine.run(image.data(), 5 + i, 60);
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
}

void cancelled(const char* path) {
    imagen_fast::api::Engine engine(path);
    const auto image = noise(200 * 200 * engine.channels());
    const auto expected = engine.run(image.data(), 9, 9);
    std::atomic<bool> over{false};
    std::thread other([&] {
        while (!over) {
            imagen_fast_cancel(engine.get());
            std::this_thread::yield();
        }
    });
    try {
        for (int i = 0; i < 50; ++i) {
            (void)engine.run(image.data(), 200, 200);
        }
        fail("no run was cancelled");
    } catch (const imagen_fast::api::Error& error) {
        expect(error.status(), IMAGEN_FAST_CANCELLED, "cancelled", "a run");
    }
    over = true;
    other.join();
    try {
        (void)engine.run(image.data(), 9, 9, {[] { return true; }, {}});
        fail("a callback does not end a run");
    } catch (const imagen_fast::api::Error& error) {
        expect(error.status(), IMAGEN_FAST_CANCELLED, "cancelled", "a run");
    }
    if (engine.run(image.data(), 9, 9) != expected) {
        fail("a cancelled run left something behind");
    }
}

// Every layout of frames, in memory of exactly their size, from several threads.
void streamed(const char* path) {
    imagen_fast_options how = options();
    how.threads = 1;
    how.precision = IMAGEN_FAST_FP32;
    imagen_fast::api::Engine engine(path, how);
    if (engine.channels() != 3) {
        return;
    }
    constexpr int width = 14, height = 10, u = width * height;
    const int s = engine.scale(), large = s * s * u;
    const auto frame = [](std::vector<std::uint8_t>& bytes, int y, int format) {
        const bool halved = format >= IMAGEN_FAST_NV12;
        bytes.resize(static_cast<std::size_t>(halved ? y + y / 2 : 3 * y));
        imagen_fast_frame made{};
        made.size = sizeof made;
        made.planes[0] = bytes.data();
        made.planes[1] = halved ? bytes.data() + y : nullptr;
        made.planes[2] = format == IMAGEN_FAST_I420 ? bytes.data() + y + y / 4 : nullptr;
        return made;
    };
    for (int in = IMAGEN_FAST_RGB; in <= IMAGEN_FAST_I420; ++in) {
        for (int out = IMAGEN_FAST_RGB; out <= IMAGEN_FAST_I420; ++out) {
            imagen_fast::api::Stream stream(
                engine, {sizeof(imagen_fast_stream_options), width, height, in, out, 0, 0});
            const auto push = [&](std::vector<std::uint8_t>& result) {
                std::vector<std::uint8_t> bytes;
                const imagen_fast_frame given = frame(bytes, u, in);
                for (std::size_t i = 0; i < bytes.size(); ++i) {
                    bytes[i] = static_cast<std::uint8_t>(i * 37);
                }
                stream.push(given, frame(result, large, out));
            };
            std::vector<std::uint8_t> expected, others[2];
            push(expected);
            std::thread other([&] { push(others[0]); });
            push(others[1]);
            other.join();
            if (others[0] != expected || others[1] != expected) {
                fail("threads change a frame");
            }
        }
    }
}

}  // namespace

int main(int count, char** paths) {
    for (int i = 1; i < count; ++i) {
        damaged(content(paths[i]));
        imagen_fast_engine* engine = nullptr;
        imagen_fast::api::check(imagen_fast_load(paths[i], nullptr, &engine));
        const bool pictures = imagen_fast_scale(engine) != 0;
        imagen_fast_free(engine);
        if (pictures) {
            at_once(paths[i]);
            cancelled(paths[i]);
            streamed(paths[i]);
        }
        std::printf("%s: as it should be\n", paths[i]);
    }
    return count > 1 ? 0 : 2;
}
