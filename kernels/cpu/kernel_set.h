// All kernels for one micro-kernel set S.
// Included by the set_*.cc files alone.
#pragma once

#include "conv_block.h"
#include "global_attention.h"
#include "head.h"
#include "pointwise.h"
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

    Op* stem(const Convolution& c) const override { return new Stem<S>(c); }
    Op* conv_block(const Convolution& c) const override { return new ConvBlock<S>(c); }
    Op* down(const Convolution& c) const override { return new Down<S>(c); }
    Op* up(const Convolution& c) const override { return new Up<S>(c); }
    Op* pointwise(const Convolution& c) const override { return new Pointwise<S>(c); }
    Op* head(const Convolution& c, int scale, int image_channels) const override {
        return new Head<S>(c, scale, image_channels);
    }
    Op* window_attention(const Attention& a) const override { return new_window_attention(a, S()); }
    Op* global_keys(const Attention& a) const override { return new GlobalKeys<S>(a); }
    Op* global_queries(const Attention& a) const override { return new GlobalQueries<S>(a); }
    Op* rows_in(int channels) const override { return new RowsIn<S>(channels); }
    Op* rows_out(int channels) const override { return new RowsOut<S>(channels); }
    std::size_t shared(const Op& keys, const Plane& other) const override {
        return static_cast<const GlobalKeys<S>&>(keys).shared(other);
    }
};

}  // namespace imagen_fast::cpu
