// A model made ready to run on this processor: what a program that embeds the runtime uses.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "isa.h"
#include "network.h"
#include "plan.h"
#include "pool.h"
#include "turn.h"

namespace imagen_fast {

struct Options {
    std::string precision = "fp32";  // or "bf16"
    std::string isa;                 // see isa.h
    PoolOptions pool;
};

// Engines share nothing. One engine may be called from several threads; they take turns. A child
// process made by fork() may use an engine of its parent's, whatever the parent's threads did then.
class Engine {
public:
    // Packs the weights; the tensors are not needed afterwards. Throws WeightsError: they do not
    // fit the spec. BackendError: precision or instruction set cannot run here.
    Engine(const Spec&, const Tensors&, const Options&);
    ~Engine();

    // Takes all the memory that runs of this task on this shape need. Throws BackendError: an
    // impossible shape, a latent for a model without. MemoryError: memory ran out.
    void prepare(const Shape&, const Task& = {});

    // Pictures (N, H, W, C) in, pictures (N, s·H, s·W, C) out, in [0, 1], clamped; feature maps of
    // the levels (N, H_l, W_l, C_l); latents. A listing takes floats of any range and gives as
    // many, each image H·W rows of its C = d_model numbers. Prepares what is not prepared. `stop`,
    // if given, is asked several times a second on the calling thread; true cancels the run, which
    // leaves the results half written. Throws as `prepare`, and BackendError: bytes for what is
    // float, another number of arrays than the task has, or threads cannot be started;
    // CancelledError: `stop` forked, and this is the child.
    Outcome run(const Shape&, const Arrays&, const Task& = {},
                const std::function<bool()>& stop = {});

    // Bytes that `prepare` takes for that. Throws as `prepare`.
    std::size_t memory(const Shape&, const Task& = {}) const;

    // Ends the run that is going on in another thread, if any, within some microseconds.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

    const Spec spec;
    const std::string precision, isa;

    int threads() const { return pool_.threads(); }

private:
    struct Work;

    void check(const Shape&, const Task&) const;
    void leave_half_changed();
    Plan& plan(const Shape&, const Task&);

    const cpu::KernelSet& kernels_;
    const Network network_;
    Pool pool_;
    Turn turn_;
    std::unique_ptr<Work> work_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace imagen_fast
