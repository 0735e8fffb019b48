// A model made ready to run on this processor: what a program that embeds the runtime uses.
#pragma once

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
    int threads = 1;
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
    // C = d_model numbers. False if the network's output is not finite. Prepares a new shape.
    bool run(const Shape&, const void* image, void* picture, bool bytes);

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
};

}  // namespace imagen_fast
