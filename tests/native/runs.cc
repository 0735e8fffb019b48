// Runs of the engine, for the sanitizers to look at: runs BUNDLE...
//
// Every instruction set and precision of this machine on odd shapes, its answers beside the generic
// kernels'; runs that must not allocate; engines and threads at once; cancelled runs; a fork.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "../../imagen_fast/runtime/bundle.h"
#include "../../imagen_fast/runtime/engine.h"
#include "../../imagen_fast/runtime/isa.h"

#if defined(__SANITIZE_THREAD__)
constexpr bool kMayFork = false;  // ThreadSanitizer does not follow threads that a child starts
#else
constexpr bool kMayFork = true;
#endif

static std::atomic<long> allocations{0};

static void* counted(std::size_t bytes, std::size_t alignment) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
    if (void* memory = std::aligned_alloc(alignment, whole ? whole : alignment)) {
        return memory;
    }
    throw std::bad_alloc();
}
static void freed(void* memory) { std::free(memory); }
void* operator new(std::size_t bytes) { return counted(bytes, 16); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { freed(memory); }
void operator delete(void* memory, std::size_t) noexcept { freed(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { freed(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { freed(memory); }

namespace {

using namespace imagen_fast;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "runs: %s\n", what.c_str());
    std::exit(1);
}

struct Run {
    const Bundle& bundle;
    Shape shape;

    std::vector<float> image() const {
        std::vector<float> values(static_cast<std::size_t>(shape.images) * shape.height *
                                  shape.width * bundle.spec.values());
        unsigned state = 1;
        for (float& value : values) {
            state = state * 1664525u + 1013904223u;
            value = static_cast<float>(state >> 8) / (1 << 24);
        }
        return values;
    }
    std::vector<float> on(Engine& engine) const {
        const auto in = image();
        std::vector<float> out(in.size() * bundle.spec.scale * bundle.spec.scale);
        if (engine.run(shape, {{in.data()}, {out.data()}}) != Outcome::done) {
            fail("a run did not end well");
        }
        return out;
    }
};

float distance(const std::vector<float>& a, const std::vector<float>& b) {
    float most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::fmax(most, std::fabs(a[i] - b[i]));
    }
    return most;
}

Options options(const std::string& precision, const std::string& isa, int threads) {
    Options options;
    options.precision = precision;
    options.isa = isa;
    options.pool.threads = threads;
    return options;
}

std::unique_ptr<Engine> engine_of(const Bundle& bundle, const Options& options) {
    return std::make_unique<Engine>(bundle.spec, bundle.tensors, options);
}

void every_set(const Bundle& bundle) {
    const auto generic = engine_of(bundle, options("fp32", "generic", 1));
    for (const Shape& shape : {Shape{1, 1, 1}, {2, 9, 7}, {1, 18, 37}, {1, 5, 70}}) {
        const Run run{bundle, shape};
        const auto expected = run.on(*generic);
        for (const std::string precision : {"fp32", "bf16"}) {
            for (const auto& isa : available(precision)) {
                for (const int threads : {1, 3}) {
                    const auto engine = engine_of(bundle, options(precision, isa, threads));
                    const float most = distance(run.on(*engine), expected);
                    if (!(most < (precision == "fp32" ? 1e-3f : 0.2f))) {
                        fail(isa + " in " + precision + " is off by " + std::to_string(most));
                    }
                }
            }
        }
    }
}

void bytes_and_refusals(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 2));
    const std::vector<unsigned char> in(12 * 13 * bundle.spec.values(), 200);
    std::vector<unsigned char> out(in.size() * bundle.spec.scale * bundle.spec.scale);
    const bool listing = bundle.spec.architecture == "listing";
    try {
        const auto outcome = engine->run({1, 12, 13}, {{in.data()}, {out.data()}, true});
        if (listing || outcome != Outcome::done) {
            fail("bytes were taken, or not");
        }
    } catch (const std::runtime_error&) {
        if (!listing) throw;
    }
    for (const Shape& wrong : {Shape{0, 1, 1}, {1, -1, 1}, {1, 1 << 30, 1 << 30}}) {
        try {
            engine->prepare(wrong);
            fail("an impossible shape was taken");
        } catch (const std::runtime_error&) {
        }
    }
}

void no_allocations(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 3));
    const Run run{bundle, {1, 20, 22}};
    const auto in = run.image();
    std::vector<float> out(in.size() * bundle.spec.scale * bundle.spec.scale);
    engine->prepare(run.shape);
    const Arrays arrays{{in.data()}, {out.data()}};
    engine->run(run.shape, arrays);  // the threads start
    const long before = allocations.load();
    for (int i = 0; i < 3; ++i) {
        engine->run(run.shape, arrays);
    }
    if (allocations.load() != before) {
        fail("a prepared run allocates");
    }
}

void at_once(const Bundle& bundle) {
    const std::unique_ptr<Engine> engines[2] = {engine_of(bundle, options("fp32", "", 2)),
                                                engine_of(bundle, options("fp32", "", 2))};
    const Run run{bundle, {1, 13, 18}};
    const auto expected = run.on(*engines[0]);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (int j = 0; j < 6; ++j) {
                if (j % 3 == 2) {
                    engines[i % 2]->prepare({1, 5 + i, 6});
                }
                if (distance(run.on(*engines[i % 2]), expected) != 0) {
                    fail("threads change the answer");
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
}

// Every level's pictures with the picture's own features as context are what comes without.
void levels(const Bundle& bundle) {
    if (bundle.spec.architecture == "listing") {
        return;
    }
    for (const std::string precision : {"fp32", "bf16"}) {
        for (const auto& isa : available(precision)) {
            const auto engine = engine_of(bundle, options(precision, isa, 2));
            const Run run{bundle, {2, 11, 15}};
            const auto in = run.image();
            const auto shapes = level_shapes(bundle.spec, {}, run.shape);
            std::vector<std::vector<float>> features, pictures, again;
            for (std::size_t l = 0; l < shapes.size(); ++l) {
                const std::size_t pixels = shapes[l].images * shapes[l].height * shapes[l].width;
                const int scale = bundle.spec.scale;
                features.emplace_back(pixels * bundle.spec.levels[l].channels);
                pictures.emplace_back(pixels * scale * scale * bundle.spec.image_channels);
                again.emplace_back(pictures.back().size());
            }
            Arrays one{{in.data()}, {}}, two{{in.data()}, {}}, three{{in.data()}, {}};
            for (std::size_t l = 0; l < shapes.size(); ++l) {
                one.out.push_back(features[l].data());
                two.out.push_back(pictures[l].data());
                three.in.push_back(features[l].data());
                three.out.push_back(again[l].data());
            }
            engine->run(run.shape, one, {false, false, Task::Result::features});
            engine->run(run.shape, two, {false, false, Task::Result::pictures});
            engine->run(run.shape, three, {false, true, Task::Result::pictures});
            if (distance(pictures[0], run.on(*engine)) != 0 ||
                distance(pictures.back(), again.back()) != 0) {
                fail("levels give another answer");
            }
        }
    }
    if (bundle.spec.latent_channels) {
        const auto engine = engine_of(bundle, options("fp32", "", 2));
        const Shape shape{1, 3, 4};
        const std::vector<float> latent(12 * bundle.spec.latent_channels, 0.5f);
        std::vector<std::vector<float>> pictures;
        Arrays arrays{{latent.data()}, {}};
        for (const Shape& level : level_shapes(bundle.spec, {true, false, {}}, shape)) {
            pictures.emplace_back(level.height * level.width * bundle.spec.scale *
                                  bundle.spec.scale * bundle.spec.image_channels);
        }
        for (auto& picture : pictures) {
            arrays.out.push_back(picture.data());
        }
        if (engine->run(shape, arrays, {true, false, Task::Result::pictures}) != Outcome::done) {
            fail("a latent gives no pictures");
        }
    }
}

void cancelled(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 2));
    const Run run{bundle, {1, 60, 60}}, small{bundle, {1, 9, 9}};
    const auto expected = small.on(*engine);
    const auto in = run.image();
    std::vector<float> out(in.size() * bundle.spec.scale * bundle.spec.scale);
    std::atomic<bool> over{false};
    std::thread other([&] {
        while (!over) {
            engine->cancel();
            std::this_thread::yield();
        }
    });
    bool seen = false;
    for (int i = 0; i < 50 && !seen; ++i) {
        seen = engine->run(run.shape, {{in.data()}, {out.data()}}) == Outcome::cancelled;
    }
    over = true;
    other.join();
    if (!seen) {
        fail("no run was cancelled");
    }
    if (distance(small.on(*engine), expected) != 0) {
        fail("a cancelled run left something behind");
    }
}

void forked(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 3));
    const Run run{bundle, {1, 12, 12}};
    const auto expected = run.on(*engine);
    std::atomic<bool> over{false};
    std::thread busy([&] {  // plans anew each time
        for (int i = 0; !over; ++i) {
            Run{bundle, {1, 9 + i % 7, 9 + i % 5}}.on(*engine);
        }
    });
    for (int i = 0; i < 10; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(100);
            _exit(distance(run.on(*engine), expected) == 0 ? 0 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0 || distance(run.on(*engine), expected) != 0) {
            fail("a fork changes the answer");
        }
    }
    over = true;
    busy.join();
}

}  // namespace

int main(int count, char** paths) {
    for (int i = 1; i < count; ++i) {
        const Bundle bundle(paths[i]);
        every_set(bundle);
        bytes_and_refusals(bundle);
        no_allocations(bundle);
        levels(bundle);
        at_once(bundle);
        cancelled(bundle);
        if (kMayFork) {
            forked(bundle);
        }
        std::printf("%s: as it should be\n", paths[i]);
    }
    return count > 1 ? 0 : 2;
}
