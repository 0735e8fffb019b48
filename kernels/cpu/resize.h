// Between levels: 2×2 convolution of stride 2 down, 2×2 transposed convolution plus skip up.
#pragma once

#include "linear.h"
#include "op.h"

namespace imagen_fast::cpu {

// An odd side is completed by the border's zeros.
template <class S>
class Down final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Down(const Convolution& conv, const Finish& finish)
        : in_(round_up(conv.in, kChannelMultiple)),
          linear_(
              4 * in_, round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {  // i = (ky, kx, c)
                  const int c = i % in_, tap = i / in_;
                  return c < conv.in && j < conv.out ? conv.weight[(j * conv.in + c) * 4 + tap]
                                                     : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out) {}

    std::size_t scratch(const Args&) const override { return linear_.scratch(); }

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        linear_.run_row(
            n, y, args, finisher_, scratch,
            [&](int x, int count) {
                const Scalar* in = args.x.at<Scalar>(n, 2 * y, 2 * x);
                return Rows<S>{{in, in + args.x.row()}, 2, 2 * in_, 2 * in_, count};
            });
    }

private:
    int in_;
    Linear<S> linear_;
    Finisher<S> finisher_;
};

// Each of the four places (dy, dx) of an input pixel in the output has its own matrix: the sums of
// some pixels for one place stay in the first cache, for all four they would not.
template <class S>
class Up final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit Up(const Convolution& conv)
        : in_(round_up(conv.in, kChannelMultiple)),
          out_(round_up(conv.out, kChannelMultiple)),
          linear_{at(conv, 0), at(conv, 1), at(conv, 2), at(conv, 3)} {}

    int blocks(const Args& args) const override { return args.x.images * args.x.height; }
    std::size_t scratch(const Args&) const override { return linear_[0].scratch(); }

    // Block: one row of the input, two of the output.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.x.height, y = block % args.x.height;
        const auto source = [&](int x, int count) {
            return Rows<S>{{args.x.at<Scalar>(n, y, x)}, 1, in_, in_, count};
        };
        for (int first = 0; first < args.x.width; first += Linear<S>::kPixels) {
            for (int place = 0; place < 4 && 2 * y + place / 2 < args.out.height; ++place) {
                const int oy = 2 * y + place / 2, dx = place % 2;
                const auto sink = [&](int x, int count, const float* values) {
                    spread(args, n, oy, 2 * x + dx, count, values);
                };
                linear_[place].some(first, (args.out.width + 1 - dx) / 2, scratch, source, sink);
            }
        }
    }

private:
    static Linear<S> at(const Convolution& conv, int place) {
        return {round_up(conv.in, kChannelMultiple), round_up(conv.out, kChannelMultiple),
                [&](int i, int c) {
                    return i < conv.in && c < conv.out
                               ? conv.weight[(i * conv.out + c) * 4 + place]
                               : 0.0f;
                },
                [&](int c) { return c < conv.out ? conv.bias[c] : 0.0f; }};
    }

    // values (count, C), plus skip if there is one → every other pixel of out
    void spread(const Args& args, int n, int y, int x, int count, const float* values) const {
        const int wide = linear_[0].width();
        const Scalar* skip = args.other.data ? args.other.at<Scalar>(n, y, x) : nullptr;
        Scalar* out = args.out.at<Scalar>(n, y, x);
        for (int i = 0; i < count; ++i, values += wide, out += 2 * out_) {
            for (int c = 0; c < out_; c += 2 * S::lanes) {
                typename S::Vec a = S::load(values + c), b = S::load(values + c + S::lanes);
                if (skip) {
                    const Scalar* from = skip + static_cast<std::ptrdiff_t>(i) * 2 * out_ + c;
                    a = S::add(S::load(from), a);
                    b = S::add(S::load(from + S::lanes), b);
                }
                put<S>(out + c, a, b, args.out.streamed);
            }
        }
    }

    int in_, out_;
    Linear<S> linear_[4];
};

}  // namespace imagen_fast::cpu
