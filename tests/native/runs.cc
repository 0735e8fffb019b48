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
#include <deque>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../imagen_fast/runtime/bundle.h"
#include "../../imagen_fast/runtime/engine.h"
#include "../../imagen_fast/runtime/isa.h"

// ThreadSanitizer does not follow threads that a child starts. GCC 12's AddressSanitizer does not hold
// its allocator's locks over a fork: where another thread has one, the child waits for it forever.
// tests/runtime/test_fork.py forks without them, in Python and C.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kMayFork = false;
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

// A run that gives the first output, and what it reads and writes.
struct Run {
    Run(const Bundle& bundle, const Shape& shape) : request(Request::picture(shape)) {
        const Graph& graph = bundle.graph;
        for (std::size_t i = 1; i < graph.inputs.size() && !makes_pictures(graph); ++i) {
            if (!graph.inputs[i].optional) {
                const Grid& grid = graph.values[i].grid;
                request.given.push_back({static_cast<int>(i),
                                         {shape.images, static_cast<int>(grid.size(shape.height)),
                                          static_cast<int>(grid.size(shape.width))}});
            }
        }
        unsigned state = 1;
        for (const auto& given : request.given) {
            in.emplace_back(size(given.shape, graph.values[given.input].channels));
            for (float& value : in.back()) {
                state = state * 1664525u + 1013904223u;
                value = static_cast<float>(state >> 8) / (1 << 24);
            }
        }
        const int value = graph.outputs[0].value;
        out.resize(size(shape_of(graph, request, value), graph.values[value].channels));
        for (const auto& values : in) {
            arrays.in.push_back(values.data());
        }
        arrays.out.push_back(out.data());
    }
    Run(const Run&) = delete;

    static std::size_t size(const Shape& shape, int channels) {
        return static_cast<std::size_t>(shape.images) * shape.height * shape.width * channels;
    }
    std::vector<float> on(Engine& engine) const {
        std::vector<float> results(out.size());
        if (engine.run(request, {arrays.in, {results.data()}}) != Outcome::done) {
            fail("a run did not end well");
        }
        return results;
    }

    Request request;
    std::vector<std::vector<float>> in;
    std::vector<float> out;
    Arrays arrays;
};

float distance(const std::vector<float>& a, const std::vector<float>& b) {
    float most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::fmax(most, std::fabs(a[i] - b[i]));
    }
    return most;
}

EngineOptions options(const std::string& precision, const std::string& isa, int threads) {
    EngineOptions options;
    options.precision = precision;
    options.isa = isa;
    options.pool.threads = threads;
    return options;
}

std::unique_ptr<Engine> engine_of(const Bundle& bundle, const EngineOptions& options) {
    return std::make_unique<Engine>(bundle.graph, bundle.tensors, options);
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
    Run run(bundle, {1, 12, 13});
    run.request.bytes = true;  // pictures are read as if their floats were bytes
    if (engine->run(run.request, run.arrays) != Outcome::done) {
        fail("bytes were not taken");
    }
    for (const Shape& wrong : {Shape{0, 1, 1}, {1, -1, 1}, {1, 1 << 30, 1 << 30}}) {
        try {
            Request request = Run(bundle, {1, 4, 4}).request;
            request.given[0].shape = wrong;
            engine->prepare(request);
            fail("an impossible shape was taken");
        } catch (const std::runtime_error&) {
        }
    }
}

void no_allocations(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 3));
    const Run run{bundle, {1, 20, 22}};
    engine->prepare(run.request);
    engine->run(run.request, run.arrays);  // the threads start
    const long before = allocations.load();
    for (int i = 0; i < 3; ++i) {
        engine->run(run.request, run.arrays);
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
                    engines[i % 2]->prepare(Run(bundle, {1, 5 + i, 6}).request);
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

// All outputs whose names begin with `what`, by name, from arrays by the names of inputs.
struct Given {
    std::string input;
    Shape shape;
    const std::vector<float>* values;
};
std::vector<std::vector<float>> all_of(Engine& engine, const std::vector<Given>& given,
                                       const std::string& what) {
    Request request;
    Arrays arrays;
    for (const Given& one : given) {
        request.given.push_back({engine.graph.input(one.input), one.shape});
        arrays.in.push_back(one.values->data());
    }
    std::vector<std::vector<float>> results;
    for (std::size_t i = 0; i < engine.graph.outputs.size(); ++i) {
        const auto& output = engine.graph.outputs[i];
        if (output.name.rfind(what, 0) == 0) {
            request.wanted.push_back(static_cast<int>(i));
            const Shape shape = shape_of(engine.graph, request, output.value);
            results.emplace_back(static_cast<std::size_t>(shape.images) * shape.height * shape.width *
                                 engine.graph.values[output.value].channels);
        }
    }
    for (auto& result : results) {
        arrays.out.push_back(result.data());
    }
    if (engine.run(request, arrays) != Outcome::done) {
        fail("a run for " + what + " did not end well");
    }
    return results;
}

// Every level's pictures with the picture's own features as context are what comes without; maps of
// attention sum to 1; latents give pictures.
void named(const Bundle& bundle) {
    if (bundle.graph.outputs.size() < 3) {  // none of our architectures
        return;
    }
    for (const std::string precision : {"fp32", "bf16"}) {
        for (const auto& isa : available(precision)) {
            const auto engine = engine_of(bundle, options(precision, isa, 2));
            const Run run{bundle, {2, 11, 15}};
            const Shape size = run.request.given[0].shape;
            std::vector<Given> given{{"image", size, &run.in[0]}};
            const auto features = all_of(*engine, given, "features");
            const auto pictures = all_of(*engine, given, "picture");
            for (const auto& map : all_of(*engine, given, "attention.0")) {
                const auto& output = engine->graph.outputs[engine->graph.output("attention.0")];
                const int channels = engine->graph.values[output.value].channels;
                float sum = 0;
                for (int c = 0; c < channels; ++c) {
                    sum += map[c];
                }
                const int heads = static_cast<int>(std::lround(sum));
                if (heads < 1 || std::fabs(sum - heads) > 0.02f * heads) {
                    fail("the probabilities of attention do not sum to 1");
                }
            }
            Shape shape = size;
            for (std::size_t l = 0; l < features.size(); ++l) {
                given.push_back({"context." + std::to_string(l), shape, &features[l]});
                shape = {shape.images, (shape.height + 1) / 2, (shape.width + 1) / 2};
            }
            const auto again = all_of(*engine, given, "picture");
            if (distance(pictures[0], run.on(*engine)) != 0 ||
                distance(pictures.back(), again.back()) != 0) {
                fail("levels give another answer");
            }
        }
    }
    std::vector<Given> given;
    std::deque<std::vector<float>> latents;
    for (const auto& input : bundle.graph.inputs) {
        const std::string name = bundle.graph.name(input.value);
        if (name.rfind("latent", 0) == 0) {
            const auto& value = bundle.graph.values[input.value];
            const Shape shape{1, 3 * value.grid.factor, 4 * value.grid.factor};
            latents.emplace_back(shape.height * shape.width * value.channels, 0.5f);
            given.push_back({name, shape, &latents.back()});
        }
    }
    if (!given.empty()) {
        all_of(*engine_of(bundle, options("fp32", "", 2)), given, "sample");
    }
}

void cancelled(const Bundle& bundle) {
    const auto engine = engine_of(bundle, options("fp32", "", 2));
    const Run run{bundle, {1, 60, 60}}, small{bundle, {1, 9, 9}};
    const auto expected = small.on(*engine);
    std::atomic<bool> over{false};
    std::thread other([&] {
        while (!over) {
            engine->cancel();
            std::this_thread::yield();
        }
    });
    bool seen = false;
    for (int i = 0; i < 50 && !seen; ++i) {
        seen = engine->run(run.request, run.arrays) == Outcome::cancelled;
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
        named(bundle);
        at_once(bundle);
        cancelled(bundle);
        if (kMayFork) {
            forked(bundle);
        }
        std::printf("%s: as it should be\n", paths[i]);
    }
    return count > 1 ? 0 : 2;
}
