// A model made ready to run on this processor: what a program that embeds the runtime uses.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "isa.h"
#include "network.h"
#include "plan.h"
#include "pool.h"

namespace imagen_fast {

struct Options {
    std::string precision = "fp32";  // or "bf16"
    std::string isa;                 // see isa.h
    PoolOptions pool;
};

// Engines share nothing. One engine may be called from several threads; they take turns.
class Engine {
public:
    // Packs the weights; the tensors are not needed afterwards. Throws WeightsError: they do not
    // fit the spec. BackendError: precision or instruction set cannot run here.
    Engine(const Spec&, const Tensors&, const Options&);

    // Takes all the memory that runs on this shape need. Throws BackendError: impossible shape, or
    // memory ran out.
    void prepare(const Shape&);

    // image (N, H, W, C) → picture (N, s·H, s·W, C), C-contiguous; both uint8 if `bytes`, else
    // float, in [0, 1], clamped. A listing takes floats of any range, each image H·W rows of its
    // C = d_model numbers. Prepares a new shape. `stop`, if given, is asked several times a second
    // on the calling thread; true cancels the run, which leaves the picture half written.
    Outcome run(const Shape&, const void* image, void* picture, bool bytes,
                const std::function<bool()>& stop = {});

    // Ends the run that is going on in another thread, if any, within some microseconds.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

    const Spec spec;
    const std::string precision, isa;

    int threads() const { return pool_.threads(); }

private:
    void plan(const Shape&);

    const cpu::KernelSet& kernels_;
    const Network network_;
    Pool pool_;
    std::mutex turn_;
    Shape shape_;
    std::unique_ptr<Plan> plan_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace imagen_fast
