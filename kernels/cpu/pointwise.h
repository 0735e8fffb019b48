// 1×1 convolution.
#pragma once

#include "linear.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Pointwise final : public Op {
    using Scalar = typename S::Scalar;

public:
    Pointwise(const Convolution& conv, const Finish& finish)
        : in_(conv.padded()),
          linear_(
              in_, round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {
                  const int c = conv.channel(i);
                  return c >= 0 && j < conv.out ? conv.weight[j * conv.in + c] : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override { return linear_.scratch(); }

    // Block: one row of one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        linear_.run(
            args.out.width, scratch,
            [&](int x, int count) {
                return Rows<S>{{args.x.at<Scalar>(n, y, x)}, 1, in_, args.x.pixel, count};
            },
            [&](int x, int count, const float* values) {
                linear_.store(values, count, finisher_, args, n, y, x);
            });
    }

private:
    int in_;
    Linear<S> linear_;
    Finisher<S> finisher_;
};

}  // namespace imagen_fast::cpu
