#include "cuda_runner.h"

#include <algorithm>
#include <deque>
#include <list>
#include <numeric>
#include <optional>
#include <vector>

#include "cuda_slot.h"
#include "error.h"
#include "turn.h"

namespace imagen_fast {

using namespace cuda;

namespace {

// As in imagen_fast/backends/triton.py and slots.py, where they are explained.
constexpr std::int64_t kChunkPixels = 512 * 512, kMostPixels = 2048 * 2048;
constexpr std::size_t kMostShapes = 8, kAtOnce = 2;

const Bundle& checked(const Bundle& bundle) {
    if (!bundle.kernels) {
        throw WeightsError("the model has no GPU kernels; expected a file that `imagen-fast export "
                           "--format bundle` wrote");
    }
    return bundle;
}

// How many of `count` pictures go together: the most that divide it, within kChunkPixels.
int chunk_of(int count, std::int64_t pixels) {
    int best = 1;
    for (int n = 1; n <= count; ++n) {
        if (count % n == 0 && n * pixels <= kChunkPixels) {
            best = n;
        }
    }
    return best;
}

// The shapes of all inputs in the graph's order, which a run has to give.
std::vector<Shape> shapes_of(const Graph& graph, const Request& request) {
    needed(graph, request);
    std::vector<Shape> shapes(graph.inputs.size());
    for (const auto& given : request.given) {
        shapes[given.input] = given.shape;
    }
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        if (!shapes[i].images) {
            throw BackendError("this file with GPU kernels computes all of its outputs at once, for "
                               "which the input '" + graph.name(static_cast<int>(i)) +
                               "' is needed; give it too, or export these outputs by themselves "
                               "(--outputs)");
        }
    }
    return shapes;
}

// As many images of each as go together.
std::vector<Shape> chunk_of(std::vector<Shape> shapes) {
    std::int64_t most = 0;
    for (const Shape& shape : shapes) {
        most = std::max(most, std::int64_t{shape.height} * shape.width);
    }
    const int count = chunk_of(shapes[0].images, most);
    for (Shape& shape : shapes) {
        shape.images = count;
    }
    return shapes;
}

// The plan's own sizes of what comes and goes must be those that are copied, and so its samples.
void check_sizes(const Work& work, const Program& program, const Graph& graph,
                 const std::vector<Shape>& shapes, bool bytes) {
    Request request;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        request.given.push_back({static_cast<int>(i), shapes[i]});
    }
    bool right = work.bytes[program.not_finite] == 4;
    const auto check = [&](std::size_t buffer, int value, bool picture) {
        const Shape size = shape_of(graph, request, value);
        const std::int64_t item = picture && bytes ? 1 : 4;
        right = right &&
                work.bytes[buffer] == item * size.images * size.height * size.width *
                                          graph.values[value].channels &&
                (program.buffers[buffer].kind == Kind::sample) == picture;
    };
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        check(i, static_cast<int>(i), graph.inputs[i].picture);
    }
    for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
        check(shapes.size() + i, graph.outputs[i].value, graph.outputs[i].picture);
    }
    if (!right) {
        throw WeightsError("the plan is damaged: its arrays are not as large as the graph says");
    }
}

}  // namespace

// All that is on the GPU.
struct CudaRunner::State {
    // The slots of inputs of some shapes.
    struct Ready {
        std::vector<Shape> shapes;
        bool bytes;
        std::list<Slot> slots;
    };

    State(const Bundle& bundle, const std::string& name)
        : device(name), current(std::in_place, device), model(bundle, device) {
        current.reset();
    }
    ~State() {
        // Given back in this order while the device is current; where it cannot be, it is lost.
        try {
            current.emplace(device);
        } catch (const BackendError&) {
        }
    }

    Work work(const Graph& graph, const std::vector<Shape>& shapes, bool bytes) const {
        Work work = model.work(shapes, bytes);
        check_sizes(work, model.plan.program, graph, shapes, bytes);
        return work;
    }

    // At least `count` slots for some shapes. Those least recently used go when there are too many.
    std::list<Slot>& slots(const Graph& graph, const std::vector<Shape>& shapes, bool bytes,
                           std::size_t count) {
        const auto found = std::find_if(ready.begin(), ready.end(), [&](const Ready& x) {
            return x.shapes == shapes && x.bytes == bytes;
        });
        if (found != ready.end()) {
            ready.splice(ready.begin(), ready, found);
        } else {
            ready.emplace_front();
            ready.front().shapes = shapes;
            ready.front().bytes = bytes;
            if (ready.size() > kMostShapes) {
                ready.pop_back();
            }
        }
        if (ready.front().slots.size() >= count) {
            return ready.front().slots;
        }
        try {
            fill(ready.front(), work(graph, shapes, bytes), count);
        } catch (...) {
            if (ready.front().slots.empty()) {
                ready.pop_front();
            }
            throw;
        }
        return ready.front().slots;
    }

    void fill(Ready& one, const Work& work, std::size_t count) {
        const std::size_t bytes = Slot::arena_bytes(model, work);
        if (bytes > arena.bytes) {
            for (Ready& each : ready) {
                each.slots.clear();  // captured launches write where the old memory is
            }
            arena = Memory();
            arena = Memory(bytes, "feature maps");
        }
        while (one.slots.size() < count) {
            one.slots.emplace_back(model, work, arena, streams, !ran[one.bytes]);
            ran[one.bytes] = true;
        }
    }

    const Device device;
    // Members below are made and given back while it holds the device.
    std::optional<Current> current;
    Model model;
    Streams streams;
    Memory arena;
    std::list<Ready> ready;
    bool ran[2] = {false, false};
};

CudaRunner::CudaRunner(const Bundle& bundle, const std::string& device,
                       const std::string& precision)
    : graph_(checked(bundle).graph), state_(std::make_unique<State>(bundle, device)), born_(forks()) {
    precision_ = state_->model.plan.precision;
    isa_ = "sm_" + std::to_string(state_->model.plan.arch);
    if (!precision.empty() && precision != precision_) {
        throw BackendError("the file computes in " + precision_ + ", not in " + precision +
                           "; leave the precision out, or export the model with --precision " +
                           precision);
    }
}

// In a child process the driver's context does not work, and another thread of the parent may have
// had the turn.
CudaRunner::~CudaRunner() {
    if (born_ != forks()) {
        (void)state_.release();
    }
}

void CudaRunner::refuse_after_fork() const {
    if (born_ != forks()) {
        throw BackendError("a GPU's engine does not work in a child process made by fork(); load the "
                           "model there, or start the process anew instead of forking");
    }
}

Outcome CudaRunner::run(const Request& request, const Arrays& arrays,
                        const std::function<bool()>& stop) {
    refuse_after_fork();
    const std::vector<Shape> shapes = shapes_of(graph_, request), part = chunk_of(shapes);
    const Program& program = state_->model.plan.program;
    const std::lock_guard<std::mutex> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    const Current current(state_->device);
    const auto count = static_cast<std::size_t>(shapes[0].images / part[0].images);
    std::list<Slot>& slots = state_->slots(graph_, part, request.bytes, std::min(count, kAtOnce));

    // Slots in turn; each is waited for before it takes another chunk, and also when something
    // fails: none is left at work.
    std::deque<Slot*> busy;
    Outcome outcome = Outcome::done;
    const auto finish = [&] {
        Slot* const slot = busy.front();
        busy.pop_front();
        if (!slot->finish()) {
            outcome = Outcome::not_finite;
        }
    };
    try {
        auto next = slots.begin();
        for (std::size_t i = 0; i < count; ++i) {
            if (cancelled_.load(std::memory_order_relaxed) || (stop && stop())) {
                outcome = Outcome::cancelled;
                break;
            }
            if (busy.size() == kAtOnce) {
                finish();
            }
            std::vector<const void*> in(graph_.inputs.size());
            for (std::size_t k = 0; k < request.given.size(); ++k) {
                const int input = request.given[k].input;
                in[input] = static_cast<const std::byte*>(arrays.in[k]) + i * next->bytes(input);
            }
            std::vector<void*> out(graph_.outputs.size());
            for (std::size_t k = 0; k < request.wanted.size(); ++k) {
                const int output = request.wanted[k];
                out[output] = static_cast<std::byte*>(arrays.out[k]) +
                              i * next->bytes(program.inputs + output);
            }
            next->start(in, out);
            busy.push_back(&*next);
            if (++next == slots.end()) {
                next = slots.begin();
            }
        }
        const bool cancelled = outcome == Outcome::cancelled;
        while (!busy.empty()) {
            finish();
        }
        return cancelled ? Outcome::cancelled : outcome;
    } catch (...) {
        driver().cuStreamSynchronize(state_->streams.load.stream);
        driver().cuStreamSynchronize(state_->streams.compute.stream);
        driver().cuStreamSynchronize(state_->streams.store.stream);
        throw;
    }
}

std::uint64_t CudaRunner::memory(const Request& request) const {
    const std::vector<Shape> shapes = shapes_of(graph_, request), part = chunk_of(shapes);
    const Work work = state_->work(graph_, part, request.bytes);
    const std::size_t slots = std::min<std::size_t>(shapes[0].images / part[0].images, kAtOnce);
    return Slot::arena_bytes(state_->model, work) +
           2 * slots * Slot::own_bytes(state_->model, work);
}

std::int64_t CudaRunner::capacity(std::uint64_t budget) const {
    constexpr int side = 1024;
    std::vector<int> all(graph_.outputs.size());
    std::iota(all.begin(), all.end(), 0);
    const Work work =
        state_->work(graph_, shapes_of(graph_, usual(graph_, {1, side, side}, all)), false);
    const double pixel = static_cast<double>(Slot::arena_bytes(state_->model, work) +
                                             kAtOnce * Slot::own_bytes(state_->model, work)) /
                         (side * side);
    double room = static_cast<double>(budget);
    if (!budget) {
        refuse_after_fork();
        const std::lock_guard<std::mutex> lock(turn_);
        const Current current(state_->device);
        std::size_t free = 0, total = 0;
        driver().check(driver().cuMemGetInfo_v2(&free, &total), "asking for free memory");
        room = (static_cast<double>(free) + static_cast<double>(state_->arena.bytes)) / 2;
    }
    return std::min(static_cast<std::int64_t>(room / pixel), kMostPixels);
}

std::string CudaRunner::not_finite() const {
    return "the model gives infinities or NaN in " + precision_ +
           "; run the model that it was exported from on the processor, in fp32";
}

}  // namespace imagen_fast
