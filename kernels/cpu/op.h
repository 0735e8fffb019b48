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

constexpr int kMostAdded = 15;
constexpr int kMostImageChannels = 4;  // of a picture that a convolution reads as it is

// What one step works on. Which members an operator reads is said where it is made (KernelSet).
struct Args {
    Plane x;                  // input
    Plane other;              // skip, if it has data, attention context, or second operand
    Plane added[kMostAdded];  // to the output, those that have data: the first `additions`
    int additions = 0;
    Plane out;                // output
    void* shared = nullptr;         // memory that two steps share
    const void* image = nullptr;    // picture in, if any: (N, H, W, C) without border
    void* picture = nullptr;        // picture out: (N, sH, sW, C) without border
    bool bytes = false;             // pictures are uint8, else float in [0, 1]
    std::atomic<bool>* not_finite = nullptr;  // set if the picture out is not

    // Asks the caches for what will be added to pixels from (y, x) on: it was written long ago, and
    // products are computed meanwhile.
    template <class Scalar>
    IMAGEN_INLINE void prefetch_added(int n, int y, int x, int rows, int columns) const {
        for (int i = 0; i < additions; ++i) {
            added[i].template prefetch<Scalar>(n, y, x, rows, columns);
        }
    }
};

// An operator with its weights. Its blocks may run in any order and at the same time; scratch is
// a block's own, 64-byte aligned, uninitialised.
class Op {
public:
    virtual ~Op();
    virtual int blocks(const Args&) const = 0;
    virtual std::size_t scratch(const Args&) const;  // none, unless an operator says otherwise
    virtual std::size_t shared(const Args&) const;   // bytes of `shared` that a first step writes
    virtual void run(int block, const Args&, std::byte* scratch) const = 0;
};

// An operator whose blocks are the rows of its result.
class RowOp : public Op {
public:
    int blocks(const Args&) const final;
    void run(int block, const Args&, std::byte* scratch) const final;
    virtual void run_row(int n, int y, const Args&, std::byte* scratch) const = 0;
};

// The activations of graphs; kernels get `slopes` for the three after it.
enum class Activation {
    none,
    slopes,
    relu,
    leaky_relu,
    prelu,
    silu,
    sigmoid,
    gelu,
    gelu_tanh,
    mish,
    tanh,
    hard_swish,
    clamp,
    elu,
    softplus,
    abs,
    square,
    sqrt,
    reciprocal,
    exp,
    log,
    erf,
    power
};

enum class Padding { zero, reflect, edge, valid };  // what lies beyond a picture's border
enum class Reduction { mean, variance, deviation, maximum };

// What a pixel is computed of: pixels stride · i - (size - 1) / 2 and following, along each axis;
// stride · i and following where the padding is valid.
struct Kernel {
    int size, stride = 1;
    Padding padding = Padding::zero;
};

// Which of an operation's inputs have one channel or one pixel that counts for all: a bit for each.
// The last `minus` of them are subtracted.
struct Broadcast {
    unsigned one_channel = 0, one_pixel = 0;
    int minus = 0;

    IMAGEN_INLINE bool nothing() const { return !one_channel && !one_pixel && !minus; }
};

// What is done to sums before they are stored: scale · activation(sum) + offset + what is added. As a
// gate: (scale · activation(sum) + offset) · (what is added), which may include the sum itself.
struct Finish {
    enum class Added { added, times, times_and_sum };

    Activation activation = Activation::none;
    const float* slopes = nullptr;  // (channels): factors of what is below 0
    float scale = 1, offset = 0;
    float slope = 0, low = 0, high = 0, exponent = 1;  // of elu, clamp, power
    Added added = Added::added;
};

// Weights as PyTorch lays them out; they are read only while an operator is made.
struct Convolution {
    const float* weight;  // (out, in, k, k); depthwise (out, 1, k, k), transposed (in, out, k, k)
    const float* bias;    // (out)
    int in, out;
    // Which input channel is in each element of a pixel of x, or -1; null: one after the other.
    const int* order = nullptr;
    int elements = 0;  // of a pixel, a multiple of kChannelMultiple; if there is an order
    // (in), of a stem: a picture's samples are multiplied, and this is added, before a border of zeros
    // is put around them; null: they are as they are.
    const float *factor = nullptr, *summand = nullptr;

    IMAGEN_INLINE int padded() const { return order ? elements : round_up(in, kChannelMultiple); }
    IMAGEN_INLINE int channel(int element) const {
        return order ? order[element] : element < in ? element : -1;
    }
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
    // Whether 3×3 convolutions give a pixel the same bits whatever part of a plane they compute.
    virtual bool computes_parts() const = 0;
    // Runs a block of an operator of this set, in the state that its instructions need.
    virtual void run(const Op&, int block, const Args&, std::byte* scratch) const = 0;

    // image → out, 3×3, of at most kMostImageChannels; x → out, 3×3, 1×1, and 2×2 with stride 2.
    // x, out and what is added may be some channels of wider planes, but for `down`.
    virtual Op* stem(const Convolution&, const Finish&) const = 0;
    virtual Op* convolution(const Convolution&, const Finish&) const = 0;
    virtual Op* pointwise(const Convolution&, const Finish&) const = 0;
    virtual Op* down(const Convolution&, const Finish&) const = 0;
    // Any other x → out, and each channel of its own alone.
    virtual Op* window(const Convolution&, const Kernel&, const Finish&) const = 0;
    virtual Op* depthwise(const Convolution&, const Kernel&, const Finish&) const = 0;
    // Transposed, of an even kernel and stride 2: out = other + up(x), cropped to it.
    virtual Op* up(const Convolution&, int kernel) const = 0;
    virtual Op* head(const Convolution&, int scale, int image_channels) const = 0;  // x, image → picture
    // out = x + attention(x, other) + added, within windows; other = x for self-attention. out may
    // be x.
    virtual Op* window_attention(const Attention&) const = 0;
    // The same over whole images in two steps: keys(other → shared), queries(x, shared → out).
    virtual Op* global_keys(const Attention&) const = 0;
    virtual Op* global_queries(const Attention&) const = 0;
    // The probabilities of window attention → out: heads · window² channels.
    virtual Op* attention_map(const Attention&) const = 0;
    // out = finish(x + added), finish(x) · added; out may be x, and all may be some channels of wider
    // planes.
    virtual Op* sum(int channels, const Finish&, const Broadcast&) const = 0;
    virtual Op* product(int channels, const Broadcast&) const = 0;
    // Of the pixels of each channel → one pixel, in two steps: rows(x → shared), which is one for all
    // but the maximum, and picture(x, shared → out). Of the channels of each pixel → one channel.
    virtual Op* reduce_rows(Reduction) const = 0;
    virtual Op* reduce_picture(Reduction) const = 0;
    virtual Op* reduce_channels(Reduction, int channels) const = 0;
    // weight, bias: (channels), or null
    virtual Op* layer_norm(int channels, float epsilon, const float* weight,
                           const float* bias) const = 0;
    virtual Op* max_pool(const Kernel&) const = 0;
    // Element i of a pixel of out is element order[i] of x, or 0 where that is negative.
    virtual Op* rearrange(const int* order, int elements) const = 0;
    virtual Op* pixel_shuffle(int channels, int factor) const = 0;  // channels: of out
    virtual Op* pixel_unshuffle(int channels, int factor) const = 0;  // channels: of x
    virtual Op* nearest(int factor) const = 0;
    virtual Op* bilinear(int factor) const = 0;
    virtual Op* halve_plane() const = 0;
    // Pixel (y, x) of out is pixel (y + shift, x + shift) of x, or what lies beyond its border.
    virtual Op* place(int shift, Padding) const = 0;
    Op* halve(int channels) const;  // image → picture, both float: halve.h
    // Samples: image (N, H, W, C) → out, and x → picture, clamped to [0, 1] on request.
    virtual Op* rows_in(int channels) const = 0;
    virtual Op* rows_out(int channels, bool clamped) const = 0;

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
const KernelSet* avx512_widened();
const KernelSet* amx_bf16();

}  // namespace imagen_fast::cpu
