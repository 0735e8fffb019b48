// All kernels for training, for one micro-kernel set S.
// Included by the training_*.cc files alone.
#pragma once

#include <type_traits>

#include "conv_block.h"
#include "fourier_distance.h"
#include "head.h"
#include "op.h"
#include "picture_distance.h"
#include "spectrum.h"
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

    double run(const SpectrumOp& op, int block, const SpectrumArgs& args,
               std::byte* scratch) const override {
        [[maybe_unused]] const typename S::Session session;
        return op.run(block, args, scratch);
    }

    GradientOp* window_attention(const Attention& a) const override {
        return new WindowAttentionGradient<S>(a);
    }
    Op* conv_block(const Conv3x3Weights& w) const override { return new ConvBlock<S>(w); }
    GradientOp* conv_block_gradient(const Conv3x3Weights& w) const override {
        return new ConvBlockGradient<S>(w);
    }
    Op* head(const Conv3x3Weights& w, int scale, int image_channels) const override {
        return new TrainedHead<S>(w, scale, image_channels);
    }
    GradientOp* head_gradient(const Conv3x3Weights& w, int scale,
                              int image_channels) const override {
        return new HeadGradient<S>(w, scale, image_channels);
    }
    double picture_distance(const float* a, const float* b, std::ptrdiff_t count,
                            bool squares) const override {
        return squares ? cpu::picture_distance<S, true>(a, b, count)
                       : cpu::picture_distance<S, false>(a, b, count);
    }
    void picture_distance_gradient(const float* a, const float* b, std::ptrdiff_t count,
                                   bool squares, float factor, float* gradient) const override {
        squares ? cpu::picture_distance_gradient<S, true>(a, b, count, factor, gradient)
                : cpu::picture_distance_gradient<S, false>(a, b, count, factor, gradient);
    }
    SpectrumOp* spectrum_distance(int height, int width) const override {
        // A fast transform's passes round in between: not for bfloat16, whose products are fast.
        using Distance = std::conditional_t<std::is_same_v<typename S::Scalar, float>,
                                            FourierDistance<S>, SpectrumDistance<S>>;
        return new Distance(height, width);
    }
};

}  // namespace imagen_fast::cpu
