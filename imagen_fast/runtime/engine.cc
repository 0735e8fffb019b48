#include "engine.h"

#include <cstdint>
#include <mutex>
#include <new>

#include "error.h"

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostPixels = 1 << 28;  // far beyond memory, and safe in an int

const Spec& checked(const Spec& spec, const Options& options) {
    if (options.precision != "fp32" && options.precision != "bf16") {
        throw BackendError("precision '" + options.precision + "'; expected fp32 or bf16");
    }
    return spec;
}

}  // namespace

// The last plan, and the memory that it and those before it work in.
struct Engine::Work {
    Arena arena;
    Shape shape;
    Task task;
    std::unique_ptr<Plan> plan;
};

Engine::Engine(const Spec& wanted, const Tensors& tensors, const Options& options)
    : spec(checked(wanted, options)),
      precision(options.precision),
      isa(choose(options.isa, precision).first),
      kernels_(*choose(options.isa, precision).second),
      network_(spec, tensors, kernels_),
      pool_(options.pool) {}

Engine::~Engine() { leave_half_changed(); }

// Neither uses nor frees what a thread was at work on that the parent's fork cut off.
void Engine::leave_half_changed() {
    if (turn_.was_cut_off()) {
        (void)work_.release();
    }
}

void Engine::prepare(const Shape& shape, const Task& task) {
    const std::lock_guard<Turn> lock(turn_);
    plan(shape, task);
}

void Engine::check(const Shape& shape, const Task& task) const {
    if (task.latent && (!spec.latent_channels || task.result == Task::Result::features)) {
        throw BackendError("this model has no latent entry, or gives no features from one");
    }
    if (spec.architecture == "listing" && !(task == Task{})) {
        throw BackendError("a listing has neither levels nor a latent");
    }
    // A latent's finest level has four times the pixels of the next, and so on.
    const std::size_t enlarged = task.latent ? 2 * (spec.levels.size() - 1) : 0;
    if (shape.images < 1 || shape.height < 1 || shape.width < 1 ||
        static_cast<std::int64_t>(shape.height) * shape.width >
            (kMostPixels >> enlarged) / shape.images) {
        throw BackendError("cannot run tiles of shape " +
                           text({shape.images, shape.height, shape.width}));
    }
}

std::size_t Engine::memory(const Shape& shape, const Task& task) const {
    check(shape, task);
    Arena arena(Arena::Kind::count);
    const Plan plan(spec, network_, kernels_, task, shape, pool_.threads(), arena);
    return arena.counted();
}

Plan& Engine::plan(const Shape& shape, const Task& task) {
    leave_half_changed();
    if (!work_) {
        work_ = std::make_unique<Work>();
    }
    Work& work = *work_;
    if (work.plan && shape == work.shape && task == work.task) {
        return *work.plan;
    }
    check(shape, task);
    work.plan.reset();
    work.arena.restart();
    try {
        work.plan = std::make_unique<Plan>(spec, network_, kernels_, task, shape, pool_.threads(),
                                           work.arena);
        work.arena.trim();
    } catch (const std::bad_alloc&) {
        throw MemoryError("out of memory for tiles of shape " +
                          text({shape.images, shape.height, shape.width}) +
                          "; choose a smaller tile");
    }
    work.shape = shape;
    work.task = task;
    return *work.plan;
}

Outcome Engine::run(const Shape& shape, const Arrays& arrays, const Task& task,
                    const std::function<bool()>& stop) {
    const std::size_t levels = spec.levels.size();
    if (arrays.in.size() != 1 + (task.context ? levels : 0) ||
        arrays.out.size() != (task.result == Task::Result::picture ? 1 : levels)) {
        throw BackendError("another number of arrays than the task has");
    }
    if (arrays.bytes && (spec.architecture == "listing" || !(task == Task{}))) {
        throw BackendError("bytes are for pictures alone; expected floats");
    }
    const std::lock_guard<Turn> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    return plan(shape, task).run(pool_, arrays, stop, cancelled_);
}

}  // namespace imagen_fast
