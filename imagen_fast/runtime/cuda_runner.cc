#include "cuda_runner.h"

#include <algorithm>
#include <deque>
#include <list>
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

// The size of the input, which has to be all that a request gives, and of whose outputs the plan has
// to have all.
Shape input_of(const Graph& graph, const Program& program, const Request& request) {
    needed(graph, request);
    bool has = request.given.size() == 1 && request.given[0].input == 0;
    for (const int output : request.wanted) {
        has = has && output < program.outputs();
    }
    if (!has) {
        std::string names;
        for (int i = 0; i < program.outputs(); ++i) {
            names += (i ? ", '" : "'") + graph.outputs[i].name + "'";
        }
        throw BackendError("this file with GPU kernels computes " + names + " from '" +
                           graph.name(0) + "' alone; run other inputs and outputs on the " +
                           "processor, or export them (--outputs)");
    }
    return request.given[0].shape;
}

// The plan's own sizes of what comes and goes must be those that are copied, and so its samples.
void check_sizes(const Work& work, const Program& program, const Graph& graph, const Shape& shape,
                 bool bytes) {
    const Request request{{{0, shape}}, {}, bytes};
    const auto fits = [&](int buffer, int value, bool picture) {
        const Shape size = shape_of(graph, request, value);
        const std::int64_t item = picture && bytes ? 1 : 4;
        return work.bytes[buffer] == item * size.images * size.height * size.width *
                                         graph.values[value].channels &&
               (program.buffers[buffer].kind == Kind::sample) == picture;
    };
    bool right = work.bytes[program.not_finite] == 4 && fits(0, 0, graph.inputs[0].picture);
    for (int i = 0; i < program.outputs(); ++i) {
        right = right && fits(i + 1, graph.outputs[i].value, graph.outputs[i].picture);
    }
    if (!right) {
        throw WeightsError("the plan is damaged: its arrays are not as large as the graph says");
    }
}

}  // namespace

// All that is on the GPU.
struct CudaRunner::State {
    // The slots of one shape.
    struct Ready {
        Shape shape;
        bool bytes;
        std::list<Slot> slots;
    };

    State(const Bundle& bundle, const std::string& name)
        : device(name), current(std::in_place, device), model(bundle, device) {
        if (model.plan.program.outputs() > static_cast<int>(bundle.graph.outputs.size())) {
            throw WeightsError("the plan is damaged: it has more outputs than the graph");
        }
        current.reset();
    }
    ~State() {
        // Given back in this order while the device is current; where it cannot be, it is lost.
        try {
            current.emplace(device);
        } catch (const BackendError&) {
        }
    }

    Work work(const Graph& graph, const Shape& shape, bool bytes) const {
        Work work = model.work(shape, bytes);
        check_sizes(work, model.plan.program, graph, shape, bytes);
        return work;
    }

    // At least `count` slots of a shape. The least recently used shape goes when there are too
    // many.
    std::list<Slot>& slots(const Graph& graph, const Shape& shape, bool bytes,
                           std::size_t count) {
        const auto found = std::find_if(ready.begin(), ready.end(), [&](const Ready& x) {
            return x.shape == shape && x.bytes == bytes;
        });
        if (found != ready.end()) {
            ready.splice(ready.begin(), ready, found);
        } else {
            ready.emplace_front();
            ready.front().shape = shape;
            ready.front().bytes = bytes;
            if (ready.size() > kMostShapes) {
                ready.pop_back();
            }
        }
        if (ready.front().slots.size() >= count) {
            return ready.front().slots;
        }
        try {
            fill(ready.front(), work(graph, shape, bytes), count);
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
    const Shape shape = input_of(graph_, state_->model.plan.program, request);
    const bool bytes = request.bytes;
    const std::lock_guard<std::mutex> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    const Current current(state_->device);
    const int chunk = chunk_of(shape.images, std::int64_t{shape.height} * shape.width);
    const Shape part{chunk, shape.height, shape.width};
    const std::size_t count = static_cast<std::size_t>(shape.images / chunk);
    std::list<Slot>& slots = state_->slots(graph_, part, bytes, std::min(count, kAtOnce));

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
            std::vector<void*> out(state_->model.plan.program.outputs());
            for (std::size_t k = 0; k < request.wanted.size(); ++k) {
                const int output = request.wanted[k];
                out[output] = static_cast<std::byte*>(arrays.out[k]) + i * next->bytes(output + 1);
            }
            next->start(static_cast<const std::byte*>(arrays.in[0]) + i * next->bytes(0), out);
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
    const Shape shape = input_of(graph_, state_->model.plan.program, request);
    const bool bytes = request.bytes;
    const int chunk = chunk_of(shape.images, std::int64_t{shape.height} * shape.width);
    const Work work = state_->work(graph_, {chunk, shape.height, shape.width}, bytes);
    const std::size_t slots = std::min<std::size_t>(shape.images / chunk, kAtOnce);
    return Slot::arena_bytes(state_->model, work) +
           2 * slots * Slot::own_bytes(state_->model, work);
}

std::int64_t CudaRunner::capacity(std::uint64_t budget) const {
    constexpr int side = 1024;
    const Work work = state_->work(graph_, {1, side, side}, false);
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
