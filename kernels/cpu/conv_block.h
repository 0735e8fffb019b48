// x + SiLU(conv3x3(x) + b)
#pragma once

#include "activation.h"
#include "conv3x3.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class ConvBlock final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit ConvBlock(const Convolution& conv)
        : channels_(round_up(conv.out, kChannelMultiple)),
          conv_(conv, channels_, [&](int j) { return j < conv.out ? j : -1; }) {}

    int blocks(const Args& args) const override { return conv_.blocks(args.x); }
    std::size_t scratch(const Args&) const override { return conv_.scratch(); }

    void run(int block, const Args& args, std::byte* scratch) const override {
        conv_.run(block, args.x, scratch, [&](int n, int y, int x, int channel) {
            return Put{args.x.at<Scalar>(n, y, x) + channel, args.out.at<Scalar>(n, y, x) + channel,
                       channels_, args.out.streamed};
        });
    }

private:
    struct Put {
        static constexpr int vectors = 2;
        const Scalar* in;
        Scalar* out;
        int channels;
        bool streamed;

        IMAGEN_INLINE void operator()(int i, const float* values) const {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * channels;
            const auto low = S::add(S::load(in + at), silu<S>(S::load(values)));
            const auto high =
                S::add(S::load(in + at + S::lanes), silu<S>(S::load(values + S::lanes)));
            put<S>(out + at, low, high, streamed);
        }
    };

    int channels_;
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
