#include "engine.h"

#include <new>

#include "error.h"

namespace imagen_fast {

namespace {

const Graph& checked(const Graph& graph, const Options& options) {
    if (options.precision != "fp32" && options.precision != "bf16") {
        throw BackendError("precision '" + options.precision + "'; expected fp32 or bf16");
    }
    return graph;
}

}  // namespace

Engine::Engine(const Graph& wanted, const Tensors& tensors, const Options& options)
    : graph(checked(wanted, options)),
      precision(options.precision),
      isa(choose(options.isa, precision).first),
      kernels_(*choose(options.isa, precision).second),
      network_(graph, tensors, kernels_),
      pool_(options.pool) {}

void Engine::prepare(const Request& request) {
    const std::lock_guard<std::mutex> lock(turn_);
    plan(request);
}

std::size_t Engine::memory(const Request& request) const {
    Arena arena(Arena::Kind::count);
    const Plan plan(network_, kernels_, request, pool_.threads(), arena);
    return arena.counted();
}

std::int64_t Engine::capacity(std::int64_t budget) const {
    // Of a tile that is large enough for its borders and the threads' scratch not to count.
    constexpr int side = 2048;
    const auto bytes = static_cast<double>(memory(Request::picture({1, side, side})));
    return static_cast<std::int64_t>(static_cast<double>(budget) / bytes * side * side);
}

void Engine::plan(const Request& request) {
    if (plan_ && request == request_) {
        return;
    }
    plan_.reset();
    arena_.restart();
    try {
        plan_ = std::make_unique<Plan>(network_, kernels_, request, pool_.threads(), arena_);
        arena_.trim();
    } catch (const std::bad_alloc&) {
        const Shape& shape = request.given[0].shape;
        throw MemoryError("out of memory for tiles of shape " +
                          text({shape.images, shape.height, shape.width}) +
                          "; choose a smaller tile");
    }
    request_ = request;
}

Outcome Engine::run(const Request& request, const Arrays& arrays,
                    const std::function<bool()>& stop) {
    if (arrays.in.size() != request.given.size() || arrays.out.size() != request.wanted.size()) {
        throw BackendError("another number of arrays than the request has");
    }
    const std::lock_guard<std::mutex> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    plan(request);
    return plan_->run(pool_, arrays, stop, cancelled_);
}

}  // namespace imagen_fast
