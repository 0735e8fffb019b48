// 1×1 convolution.
#pragma once

#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Pointwise final : public Op {
    using Scalar = typename S::Scalar;
    static constexpr int kPixels = 48;  // at a time; a multiple of every set's row_multiple

public:
    explicit Pointwise(const Convolution& conv)
        : in_(round_up(conv.in, kChannelMultiple)),
          out_(round_up(conv.out, kChannelMultiple)),
          weights_(in_, out_,
                   [&](int i, int j) {
                       return i < conv.in && j < conv.out ? conv.weight[j * conv.in + i] : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < conv.out; ++j) {
            static_cast<float*>(bias_.data())[j] = conv.bias[j];
        }
    }

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override {
        return kPixels * weights_.panels.width() * sizeof(float);
    }

    // Block: one row of one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        const int width = weights_.panels.width();
        float* values = reinterpret_cast<float*>(scratch);
        for (int x = 0; x < args.out.width; x += kPixels) {
            const int left = args.out.width - x, count = left < kPixels ? left : kPixels;
            const Rows<S> rows{{args.x.at<Scalar>(n, y, x)}, 1, in_, in_, count};
            gemm(rows, weights_.panels, static_cast<const float*>(bias_.data()), values, width);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int i = 0; i < count; ++i) {
                for (int c = 0; c < out_; c += S::lanes) {
                    S::store(out + i * out_ + c, S::load(values + i * width + c));
                }
            }
        }
    }

private:
    int in_, out_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
