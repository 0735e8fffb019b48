// All kernels for one micro-kernel set S.
// Included by the set_*.cc files alone.
#pragma once

#include "attention_map.h"
#include "convolution.h"
#include "depthwise.h"
#include "elementwise.h"
#include "global_attention.h"
#include "head.h"
#include "pointwise.h"
#include "rearrange.h"
#include "reduce.h"
#include "resize.h"
#include "rows.h"
#include "stem.h"
#include "window.h"
#include "window_attention.h"

namespace imagen_fast::cpu {

template <class S>
class Kernels final : public KernelSet {
public:
    std::size_t element() const override { return sizeof(typename S::Scalar); }
    bool computes_parts() const override { return S::direct; }

    void run(const Op& op, int block, const Args& args, std::byte* scratch) const override {
        [[maybe_unused]] const typename S::Session session;
        op.run(block, args, scratch);
        if (args.out.streamed) {
            S::fence();  // other threads read next what was written past the caches
        }
    }

    Op* stem(const Convolution& c, const Finish& f) const override { return new Stem<S>(c, f); }
    Op* convolution(const Convolution& c, const Finish& f) const override {
        return new Convolution3x3<S>(c, f);
    }
    Op* pointwise(const Convolution& c, const Finish& f) const override {
        return new Pointwise<S>(c, f);
    }
    Op* down(const Convolution& c, const Finish& f) const override { return new Down<S>(c, f); }
    Op* window(const Convolution& c, const Kernel& w, const Finish& f) const override {
        return new WindowConvolution<S>(c, w, f);
    }
    Op* depthwise(const Convolution& c, const Kernel& w, const Finish& f) const override {
        return new Depthwise<S>(c, w, f);
    }
    Op* up(const Convolution& c, int kernel) const override {
        return kernel == 2 ? static_cast<Op*>(new Up<S>(c)) : new Transposed<S>(c, kernel);
    }
    Op* head(const Convolution& c, int scale, int image_channels) const override {
        return new Head<S>(c, scale, image_channels);
    }
    Op* window_attention(const Attention& a) const override { return new_window_attention(a, S()); }
    Op* global_keys(const Attention& a) const override { return new GlobalKeys<S>(a); }
    Op* global_queries(const Attention& a) const override { return new GlobalQueries<S>(a); }
    Op* attention_map(const Attention& a) const override { return new AttentionMap<S>(a); }
    Op* sum(int channels, const Finish& f, const Broadcast& b) const override {
        return new Sum<S>(channels, f, b);
    }
    Op* product(int channels, const Broadcast& b) const override {
        return new Product<S>(channels, b);
    }
    Op* reduce_rows(Reduction r) const override { return new ReduceRows<S>(r); }
    Op* reduce_picture(Reduction r) const override { return new ReducePicture<S>(r); }
    Op* reduce_channels(Reduction r, int channels) const override {
        return new ReduceChannels<S>(r, channels);
    }
    Op* layer_norm(int channels, float epsilon, const float* weight,
                   const float* bias) const override {
        return new LayerNorm<S>(channels, epsilon, weight, bias);
    }
    Op* max_pool(const Kernel& w) const override { return new MaxPool<S>(w); }
    Op* rearrange(const int* order, int elements) const override {
        return new Rearrange<S>(order, elements);
    }
    Op* pixel_shuffle(int channels, int factor) const override {
        return new PixelShuffle<S>(channels, factor);
    }
    Op* pixel_unshuffle(int channels, int factor) const override {
        return new PixelUnshuffle<S>(channels, factor);
    }
    Op* nearest(int factor) const override { return new Nearest<S>(factor); }
    Op* bilinear(int factor) const override { return new Bilinear<S>(factor); }
    Op* halve_plane() const override { return new HalvePlane<S>(); }
    Op* place(int shift, Padding padding) const override { return new Place<S>(shift, padding); }
    Op* rows_in(int channels) const override { return new RowsIn<S>(channels); }
    Op* rows_out(int channels, bool clamped) const override {
        return new RowsOut<S>(channels, clamped);
    }
};

}  // namespace imagen_fast::cpu
