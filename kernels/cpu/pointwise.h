// 1×1 convolution.
#pragma once

#include "linear.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Pointwise final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit Pointwise(const Convolution& conv)
        : in_(round_up(conv.in, kChannelMultiple)),
          out_(round_up(conv.out, kChannelMultiple)),
          linear_(
              in_, out_,
              [&](int i, int j) {
                  return i < conv.in && j < conv.out ? conv.weight[j * conv.in + i] : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override { return linear_.scratch(); }

    // Block: one row of one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        linear_.run(
            args.out.width, scratch,
            [&](int x, int count) {
                return Rows<S>{{args.x.at<Scalar>(n, y, x)}, 1, in_, in_, count};
            },
            [&](int x, int count, const float* values) {
                linear_.store(values, count, out_, args.out.at<Scalar>(n, y, x),
                              args.out.streamed);
            });
    }

private:
    int in_, out_;
    Linear<S> linear_;
};

}  // namespace imagen_fast::cpu
