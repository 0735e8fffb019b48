// A generator's operators, its weights packed for one instruction set.
#pragma once

#include <memory>
#include <vector>

#include "../../kernels/cpu/op.h"
#include "spec.h"
#include "tensors.h"

namespace imagen_fast {

// One attention block: `window`, or the two steps of a global one.
struct AttentionOps {
    std::unique_ptr<cpu::Op> window, keys, queries;
};

struct Stage {
    std::vector<std::unique_ptr<cpu::Op>> convs;
    AttentionOps attention;
};

// Mirrors imagen_fast/models/generator.py and listing.py.
struct Network {
    // Throws WeightsError: a tensor is missing, unknown, of another shape or not finite.
    Network(const Spec&, const Tensors&, const cpu::KernelSet&);

    std::unique_ptr<cpu::Op> stem, latent;  // latent: only if the spec has channels for it
    std::vector<std::vector<Stage>> encoder, decoder;  // per level, finest first
    std::vector<std::unique_ptr<cpu::Op>> heads;       // per level
    std::vector<std::unique_ptr<cpu::Op>> downs, ups;  // between level i and i + 1
    std::vector<AttentionOps> listing;                 // from first to last, nothing else
    // Feature maps or rows of numbers in and out: per level, of a latent, of a listing.
    std::vector<std::unique_ptr<cpu::Op>> rows_in, rows_out;
    std::unique_ptr<cpu::Op> latent_in, halve;
};

}  // namespace imagen_fast
