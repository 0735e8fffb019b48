// What the runtime sees of the kernels for training: gradients of what operators of
// ../cpu/op.h compute, and operators that keep something for their gradients.
//
// A kernel is a template over a micro-kernel set, as there; training_*.cc instantiates all of them
// for one instruction set, in a file compiled with that set's flags. Planes are PyTorch's memory,
// without a border. Nothing of it is in the C library.
#pragma once

#include <cstddef>

#include "../cpu/op.h"
#include "conv3x3_weights.h"

namespace imagen_fast::cpu {

// What one step of the backward pass works on.
struct GradientArgs {
    Plane x, other;        // what the forward pass read; other = x where it is not another plane,
                           // or what it kept
    Plane gradient;        // of its result
    Plane x_gradient;      // all of it is written
    Plane other_gradient;  // the same, where other is another plane
    const float* picture_gradient = nullptr;  // of a picture out
};

// The gradients of an operator, with its weights. Its blocks may run in any order and at the same
// time; scratch is a block's own, 64-byte aligned, uninitialised; sums those of blocks one after the
// other.
class GradientOp {
public:
    virtual ~GradientOp();
    virtual int blocks(const GradientArgs&) const = 0;
    virtual std::size_t scratch(const GradientArgs&) const = 0;
    // How many floats the weights' gradients are summed in, from zero on.
    virtual std::ptrdiff_t sums() const = 0;
    virtual void run(int block, const GradientArgs&, std::byte* scratch, float* sums) const = 0;
    // Adds sums to the weights' gradients, each laid out as PyTorch lays out the weight,
    // in the order that the operator's maker says.
    virtual void collect(const float* sums, float* const* gradients) const = 0;
};

// Two batches of pictures (N, H, W, C) in float, and where the gradient of the first goes.
struct SpectrumArgs {
    const float *a, *b;
    float* gradient;
    int images, channels;
    float scale;  // of the distance and its gradient
};

// The distance of spectra of pictures of one size: see spectrum.h. Blocks as above.
class SpectrumOp {
public:
    static constexpr int kMostSide = 1024;

    virtual ~SpectrumOp();
    virtual int blocks(const SpectrumArgs&) const = 0;
    virtual std::size_t scratch(const SpectrumArgs&) const = 0;
    // Returns the block's part of the distance.
    virtual double run(int block, const SpectrumArgs&, std::byte* scratch) const = 0;
};

// The kernels of one instruction set, on planes of its precision. Makers return owning pointers.
class TrainingSet {
public:
    // Runs a block of an operator of this set, in the state that its instructions need.
    virtual void run(const GradientOp&, int block, const GradientArgs&, std::byte* scratch,
                     float* sums) const = 0;
    virtual double run(const SpectrumOp&, int block, const SpectrumArgs&,
                       std::byte* scratch) const = 0;

    // Of KernelSet::window_attention; weights: q, kv, proj, temperature, position. Channels are a
    // multiple of kChannelMultiple.
    virtual GradientOp* window_attention(const Attention&) const = 0;
    // x + SiLU(conv3x3(x) + b) → out, and what its gradient needs → other, of which it reads that.
    virtual Op* conv_block(const Conv3x3Weights&) const = 0;
    virtual GradientOp* conv_block_gradient(const Conv3x3Weights&) const = 0;
    // x, image → picture, as KernelSet::head, but in float and not clamped.
    virtual Op* head(const Conv3x3Weights&, int scale, int image_channels) const = 0;
    virtual GradientOp* head_gradient(const Conv3x3Weights&, int scale,
                                      int image_channels) const = 0;
    // The sum of |a - b| over `count` samples of a picture, or of its squares, and its gradient with
    // a times a factor.
    virtual double picture_distance(const float* a, const float* b, std::ptrdiff_t count,
                                    bool squares) const = 0;
    virtual void picture_distance_gradient(const float* a, const float* b, std::ptrdiff_t count,
                                           bool squares, float factor, float* gradient) const = 0;
    // Sides of at most kMostSide.
    virtual SpectrumOp* spectrum_distance(int height, int width) const = 0;

protected:
    ~TrainingSet() = default;

private:
    virtual void anchor() const;  // where it is defined, the class's type information is, once
};

// One maker per training_*.cc; null where the compiler could not build it.
const TrainingSet* training_avx512_bf16();
const TrainingSet* training_avx512_widened();
const TrainingSet* training_amx_bf16();
const TrainingSet* training_avx2();

}  // namespace imagen_fast::cpu
