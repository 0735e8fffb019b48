// Between levels: 2×2 convolution of stride 2 down, 2×2 transposed convolution plus skip up.
#pragma once

#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

constexpr int kResizePixels = 48;  // at a time; a multiple of every set's row_multiple

// An odd side is completed by the border's zeros.
template <class S>
class Down final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit Down(const Convolution& conv)
        : in_(round_up(conv.in, kChannelMultiple)),
          out_(round_up(conv.out, kChannelMultiple)),
          weights_(4 * in_, out_,
                   [&](int i, int j) {  // i = (ky, kx, c)
                       const int c = i % in_, tap = i / in_;
                       return c < conv.in && j < conv.out
                                  ? conv.weight[(j * conv.in + c) * 4 + tap]
                                  : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < conv.out; ++j) {
            static_cast<float*>(bias_.data())[j] = conv.bias[j];
        }
    }

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override {
        return kResizePixels * weights_.panels.width() * sizeof(float);
    }

    // Block: one row of the output.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        const int width = weights_.panels.width();
        float* values = reinterpret_cast<float*>(scratch);
        for (int x = 0; x < args.out.width; x += kResizePixels) {
            const int left = args.out.width - x;
            const int count = left < kResizePixels ? left : kResizePixels;
            const Scalar* in = args.x.at<Scalar>(n, 2 * y, 2 * x);
            const Rows<S> rows{{in, in + args.x.row()}, 2, 2 * in_, 2 * in_, count};
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

template <class S>
class Up final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit Up(const Convolution& conv)
        : in_(round_up(conv.in, kChannelMultiple)),
          out_(round_up(conv.out, kChannelMultiple)),
          weights_(in_, 4 * out_,
                   [&](int i, int j) {  // j = (dy, dx, c)
                       const int c = j % out_, place = j / out_;
                       return i < conv.in && c < conv.out
                                  ? conv.weight[(i * conv.out + c) * 4 + place]
                                  : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < 4 * out_; ++j) {
            static_cast<float*>(bias_.data())[j] = j % out_ < conv.out ? conv.bias[j % out_] : 0;
        }
    }

    int blocks(const Args& args) const override { return args.x.images * args.x.height; }
    std::size_t scratch(const Args&) const override {
        return kResizePixels * weights_.panels.width() * sizeof(float);
    }

    // Block: one row of the input, two of the output.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.x.height, y = block % args.x.height;
        const int width = weights_.panels.width();
        float* values = reinterpret_cast<float*>(scratch);
        for (int x = 0; x < args.x.width; x += kResizePixels) {
            const int left = args.x.width - x;
            const int count = left < kResizePixels ? left : kResizePixels;
            const Rows<S> rows{{args.x.at<Scalar>(n, y, x)}, 1, in_, in_, count};
            gemm(rows, weights_.panels, static_cast<const float*>(bias_.data()), values, width);
            for (int place = 0; place < 4; ++place) {
                const int oy = 2 * y + place / 2;
                for (int i = 0; i < count && oy < args.out.height; ++i) {
                    const int ox = 2 * (x + i) + place % 2;
                    if (ox < args.out.width) {
                        const Scalar* skip =
                            args.other.data ? args.other.at<Scalar>(n, oy, ox) : nullptr;
                        Scalar* out = args.out.at<Scalar>(n, oy, ox);
                        const float* from = values + i * width + place * out_;
                        for (int c = 0; c < out_; c += S::lanes) {
                            const typename S::Vec up = S::load(from + c);
                            S::store(out + c, skip ? S::add(S::load(skip + c), up) : up);
                        }
                    }
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
