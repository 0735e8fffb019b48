#include "engine.h"

#include <cstdint>
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

Engine::Engine(const Spec& wanted, const Tensors& tensors, const Options& options)
    : spec(checked(wanted, options)),
      precision(options.precision),
      isa(choose(options.isa, precision).first),
      kernels_(*choose(options.isa, precision).second),
      network_(spec, tensors, kernels_),
      pool_(options.pool) {}

void Engine::prepare(const Shape& shape) {
    const std::lock_guard<std::mutex> lock(turn_);
    plan(shape);
}

void Engine::plan(const Shape& shape) {
    if (plan_ && shape == shape_) {
        return;
    }
    if (shape.images < 1 || shape.height < 1 || shape.width < 1 ||
        static_cast<std::int64_t>(shape.height) * shape.width > kMostPixels / shape.images) {
        throw BackendError("cannot run tiles of shape " +
                           text({shape.images, shape.height, shape.width}));
    }
    plan_.reset();
    try {
        plan_ = std::make_unique<Plan>(spec, network_, kernels_, shape, pool_.threads());
    } catch (const std::bad_alloc&) {
        throw BackendError("out of memory for tiles of shape " +
                           text({shape.images, shape.height, shape.width}) +
                           "; choose a smaller tile");
    }
    shape_ = shape;
}

Outcome Engine::run(const Shape& shape, const void* image, void* picture, bool bytes,
                    const std::function<bool()>& stop) {
    if (bytes && spec.architecture == "listing") {
        throw BackendError("a listing takes rows of floats, not bytes");
    }
    const std::lock_guard<std::mutex> lock(turn_);
    cancelled_.store(false, std::memory_order_relaxed);
    plan(shape);
    return plan_->run(pool_, image, picture, bytes, stop, cancelled_);
}

}  // namespace imagen_fast
