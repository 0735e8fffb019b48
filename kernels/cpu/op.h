// What the runtime sees of the kernels: operators that hold packed weights, and sets of them.
//
// A kernel is written once, as a template over a micro-kernel set (simd_*.h: vector arithmetic,
// the storage type, one multiply-accumulate of the GEMM, its register tile). set_*.cc instantiates
// all of them for one instruction set, in a file compiled with that set's flags. A new
// instruction set is one simd_ file and one set_ file; one with a matrix unit overloads `gemm` of
// gemm.h for its type (simd_amx.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "plane.h"

namespace imagen_fast::cpu {

// What one step works on. Which members an operator reads is said where it is made (KernelSet).
struct Args {
    Plane x;        // input
    Plane other;    // skip, if it has data, or attention context
    Plane also;     // added to the output as well, if it has data
    Plane out;      // output
    void* shared = nullptr;         // memory that the steps of one global attention share
    const void* image = nullptr;    // picture in, if any: (N, H, W, C) without border
    void* picture = nullptr;        // picture out: (N, sH, sW, C) without border
    bool bytes = false;             // pictures are uint8, else float in [0, 1]
    std::atomic<bool>* not_finite = nullptr;  // set if the picture out is not
};

// An operator with its weights. Its blocks may run in any order and at the same time; scratch is
// a block's own, 64-byte aligned, uninitialised.
class Op {
public:
    virtual ~Op();
    virtual int blocks(const Args&) const = 0;
    virtual std::size_t scratch(const Args&) const;  // none, unless an operator says otherwise
    virtual void run(int block, const Args&, std::byte* scratch) const = 0;
};

// Weights as PyTorch lays them out; they are read only while an operator is made.
struct Convolution {
    const float* weight;  // (out, in, kernel, kernel), transposed convolution (in, out, 2, 2)
    const float* bias;    // (out)
    int in, out;
};

struct Attention {
    const float* q;            // (C, C)
    const float* kv;           // (2C, C)
    const float* proj;         // (C, C)
    const float* temperature;  // (C / head_dim); null: queries and keys are not normalised
    const float* position;     // (window², C); null without windows
    int channels, head_dim, window, shift;
    const float *q_bias = nullptr, *kv_bias = nullptr, *proj_bias = nullptr;  // (C), (2C), (C)
    bool relu = false;      // softmax(relu(logits))
    bool residual = true;   // x + attention(...)
};

// The kernels of one instruction set in one precision. Makers return owning pointers: the files
// compiled for an instruction set instantiate nothing of the standard library (force_inline.h).
// Sets are constants that nothing destroys: threads may run them until the process has ended.
class KernelSet {
public:
    virtual std::size_t element() const = 0;  // bytes of a plane's element
    // Runs a block of an operator of this set, in the state that its instructions need.
    virtual void run(const Op&, int block, const Args&, std::byte* scratch) const = 0;

    virtual Op* stem(const Convolution&) const = 0;        // image → out
    virtual Op* conv_block(const Convolution&) const = 0;  // out = x + SiLU(conv(x) + b)
    virtual Op* down(const Convolution&) const = 0;        // x → out, half its size
    virtual Op* up(const Convolution&) const = 0;          // out = other + up(x), cropped to it
    virtual Op* pointwise(const Convolution&) const = 0;   // x → out, 1×1
    virtual Op* head(const Convolution&, int scale, int image_channels) const = 0;  // x, image → picture
    // out = x + attention(x, other) + also, within windows; other = x for self-attention. out may
    // be x.
    virtual Op* window_attention(const Attention&) const = 0;
    // The same over whole images in two steps: keys(other → shared), queries(x, shared → out).
    virtual Op* global_keys(const Attention&) const = 0;
    virtual Op* global_queries(const Attention&) const = 0;
    // Rows of any numbers: image (N, H, W, C) float → out, and x → picture.
    virtual Op* rows_in(int channels) const = 0;
    virtual Op* rows_out(int channels) const = 0;
    // Bytes of `shared` that a keys step of this set needs for a context.
    virtual std::size_t shared(const Op& keys, const Plane& other) const = 0;

protected:
    ~KernelSet() = default;

private:
    virtual void anchor() const;  // where it is defined, the class's type information is, once
};

// One maker per set_*.cc; null where the compiler could not build it. Whether the processor can
// run it is for isa.h to say.
const KernelSet* generic_fp32();
const KernelSet* avx2_fp32();
const KernelSet* avx512_fp32();
const KernelSet* avx512_bf16();
const KernelSet* amx_bf16();

}  // namespace imagen_fast::cpu
