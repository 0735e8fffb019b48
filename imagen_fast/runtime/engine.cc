#include "engine.h"

#include <algorithm>
#include <mutex>
#include <new>

#include "error.h"
#include "memory.h"

namespace imagen_fast {

namespace {

const Graph& checked(const Graph& graph, const EngineOptions& options) {
    if (options.precision != "fp32" && options.precision != "bf16") {
        throw BackendError("precision '" + options.precision + "'; expected fp32 or bf16");
    }
    return graph;
}

}  // namespace

// The last plan, and the memory that it and those before it work in.
struct Engine::Work {
    Arena arena;
    Request request;
    std::unique_ptr<Plan> plan;
};

Engine::Engine(const Graph& wanted, const Tensors& tensors, const EngineOptions& options)
    : graph(checked(wanted, options)),
      precision(options.precision),
      isa(choose(options.isa, precision).first),
      kernels_(*choose(options.isa, precision).second),
      network_(graph, tensors, kernels_),
      pool_(options.pool) {}

Engine::~Engine() { leave_half_changed(); }

// Neither uses nor frees what a thread was at work on that the parent's fork cut off.
void Engine::leave_half_changed() {
    if (turn_.was_cut_off()) {
        (void)work_.release();
    }
}

void Engine::prepare(const Request& request) {
    const std::lock_guard<Turn> lock(turn_);
    plan(request);
}

std::size_t Engine::memory(const Request& request) const {
    Arena arena(Arena::Kind::count);
    const Plan plan(network_, kernels_, request, pool_.threads(), arena);
    return arena.counted();
}

std::int64_t Engine::capacity(std::int64_t budget) const {
    // Overlaps cost an eighth of the time with tiles of this size, and a quarter with a third of it;
    // more memory someone else may want.
    constexpr std::int64_t most = 512 << 20;
    if (budget == 0) {  // a picture with means over it must not be cut, so it may take more
        budget = averages(graph) ? available_memory() / 2 : std::min(available_memory() / 4, most);
    }
    // Of a tile that is large enough for its borders and the threads' scratch not to count.
    constexpr int side = 2048;
    const auto bytes = static_cast<double>(memory(usual(graph, {1, side, side})));
    return static_cast<std::int64_t>(static_cast<double>(budget) / bytes * side * side);
}

Plan& Engine::plan(const Request& request) {
    leave_half_changed();
    if (!work_) {
        work_ = std::make_unique<Work>();
    }
    Work& work = *work_;
    if (work.plan && request == work.request) {
        return *work.plan;
    }
    work.plan.reset();
    work.arena.restart();
    try {
        work.plan =
            std::make_unique<Plan>(network_, kernels_, request, pool_.threads(), work.arena);
        work.arena.trim();
    } catch (const std::bad_alloc&) {
        const Shape& shape = request.given[0].shape;
        throw MemoryError("out of memory for tiles of shape " +
                          text({shape.images, shape.height, shape.width}) +
                          "; choose a smaller tile");
    }
    work.request = request;
    return *work.plan;
}

Outcome Engine::run(const Request& request, const Arrays& arrays,
                    const std::function<bool()>& stop) {
    if (arrays.in.size() != request.given.size() || arrays.out.size() != request.wanted.size()) {
        throw BackendError("another number of arrays than the request has");
    }
    const std::lock_guard<Turn> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    return plan(request).run(pool_, arrays, stop, cancelled_);
}

}  // namespace imagen_fast
