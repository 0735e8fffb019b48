// A model made ready to run on this processor: what a program that embeds the runtime uses.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "graph.h"
#include "isa.h"
#include "network.h"
#include "plan.h"
#include "pool.h"
#include "request.h"
#include "turn.h"

namespace imagen_fast {

struct EngineOptions {
    std::string precision = "fp32";  // or "bf16"
    std::string isa;                 // see isa.h
    PoolOptions pool;
};

// Engines share nothing. One engine may be called from several threads; they take turns. A child
// process made by fork() may use an engine of its parent's, whatever the parent's threads did then.
class Engine {
public:
    // Packs the weights; the tensors are not needed afterwards. Throws WeightsError: they do not
    // fit the graph. BackendError: precision or instruction set cannot run here, or there is no
    // kernel for an operation.
    Engine(const Graph&, const Tensors&, const EngineOptions&);
    ~Engine();

    // Takes all the memory that runs of this request need. Throws as `needed`; MemoryError:
    // memory ran out.
    void prepare(const Request&);

    // Arrays (N, H, W, C) in and out, in the request's order. Pictures are clamped to [0, 1].
    // Prepares what is not prepared. `stop`, if given, is asked several times a second on the
    // calling thread; true cancels the run, which leaves the results half written. Throws as
    // `prepare`, and BackendError: another number of arrays than the request has, or threads cannot
    // be started; CancelledError: `stop` forked, and this is the child.
    Outcome run(const Request&, const Arrays&, const std::function<bool()>& stop = {});

    // Bytes that `prepare` takes for that. Throws as `prepare`.
    std::size_t memory(const Request&) const;

    // How many pixels a picture may have for its feature maps to fit `budget` bytes, about.
    std::int64_t capacity(std::int64_t budget = 0) const;

    // Ends the run that is going on in another thread, if any, within some microseconds.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

    const Graph graph;
    const std::string precision, isa;

    int threads() const { return pool_.threads(); }

private:
    struct Work;

    void leave_half_changed();
    Plan& plan(const Request&);

    const cpu::KernelSet& kernels_;
    const Network network_;
    Pool pool_;
    Turn turn_;
    std::unique_ptr<Work> work_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace imagen_fast
