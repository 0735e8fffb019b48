// All kernels for one micro-kernel set S.
// Included by the set_*.cc files alone.
#pragma once

#include "attention_map.h"
#include "convolution.h"
#include "elementwise.h"
#include "global_attention.h"
#include "head.h"
#include "pointwise.h"
#include "rearrange.h"
#include "resize.h"
#include "rows.h"
#include "stem.h"
#include "window_attention.h"

namespace imagen_fast::cpu {

template <class S>
class Kernels final : public KernelSet {
public:
    std::size_t element() const override { return sizeof(typename S::Scalar); }

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
    Op* up(const Convolution& c) const override { return new Up<S>(c); }
    Op* head(const Convolution& c, int scale, int image_channels) const override {
        return new Head<S>(c, scale, image_channels);
    }
    Op* window_attention(const Attention& a) const override { return new_window_attention(a, S()); }
    Op* global_keys(const Attention& a) const override { return new GlobalKeys<S>(a); }
    Op* global_queries(const Attention& a) const override { return new GlobalQueries<S>(a); }
    Op* attention_map(const Attention& a) const override { return new AttentionMap<S>(a); }
    Op* sum(int channels, const Finish& f) const override { return new Sum<S>(channels, f); }
    Op* product() const override { return new Product<S>(); }
    Op* rearrange(const int* order, int elements) const override {
        return new Rearrange<S>(order, elements);
    }
    Op* pixel_shuffle(int channels, int factor) const override {
        return new PixelShuffle<S>(channels, factor);
    }
    Op* nearest(int factor) const override { return new Nearest<S>(factor); }
    Op* rows_in(int channels) const override { return new RowsIn<S>(channels); }
    Op* rows_out(int channels, bool clamped) const override {
        return new RowsOut<S>(channels, clamped);
    }
    std::size_t shared(const Op& keys, const Plane& other) const override {
        return static_cast<const GlobalKeys<S>&>(keys).shared(other);
    }
};

}  // namespace imagen_fast::cpu
