// All kernels for training, for one micro-kernel set S.
// Included by the training_*.cc files alone.
#pragma once

#include "op.h"
#include "window_attention.h"

namespace imagen_fast::cpu {

template <class S>
class TrainingKernels final : public TrainingSet {
public:
    void run(const GradientOp& op, int block, const GradientArgs& args, std::byte* scratch,
             float* sums) const override {
        [[maybe_unused]] const typename S::Session session;
        op.run(block, args, scratch, sums);
    }

    GradientOp* window_attention(const Attention& a) const override {
        return new WindowAttentionGradient<S>(a);
    }
};

}  // namespace imagen_fast::cpu
