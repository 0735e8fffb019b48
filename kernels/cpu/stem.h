// 3×3 convolution of the picture itself: samples in, features out.
#pragma once

#include "linear.h"
#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class Stem final : public Op {
    using Scalar = typename S::Scalar;
    static constexpr int kPixel = 4;  // samples of a pixel, padded to a whole number of pairs
    // A row of the picture enters as runs of 3 pixels, or more with weights of zero.
    static constexpr int kRun = round_up(3 * kPixel, S::k_multiple), kReach = kRun / kPixel;

public:
    explicit Stem(const Convolution& conv)
        : image_channels_(conv.in),
          channels_(round_up(conv.out, kChannelMultiple)),
          linear_(
              3 * kRun, channels_,
              [&](int i, int j) {  // i = (ky, kx, c)
                  const int c = i % kPixel, kx = i % kRun / kPixel, ky = i / kRun;
                  return c < conv.in && kx < 3 && j < conv.out
                             ? conv.weight[((j * conv.in + c) * 3 + ky) * 3 + kx]
                             : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override {
        return linear_.scratch() + 3 * kRow * sizeof(Scalar);
    }

    // Block: one row of one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        auto* pixels = reinterpret_cast<Scalar*>(scratch + linear_.scratch());
        linear_.run(
            args.out.width, scratch,
            [&](int x, int count) {
                for (int i = 0; i < 3; ++i) {
                    read(args, n, y + i - 1, x - 1, count + kReach - 1, pixels + i * kRow);
                }
                return Rows<S>{
                    {pixels, pixels + kRow, pixels + 2 * kRow}, 3, kRun, kPixel, count};
            },
            [&](int x, int count, const float* values) {
                linear_.store(values, count, channels_, args.out.at<Scalar>(n, y, x));
            });
    }

private:
    static constexpr int kRow = (Linear<S>::kPixels + kReach - 1) * kPixel;

    // Pixels x to x + count - 1 of row y; zeros outside the picture.
    void read(const Args& args, int n, int y, int x, int count, Scalar* out) const {
        const int h = args.out.height, w = args.out.width;
        for (int i = 0; i < count; ++i) {
            const bool inside = 0 <= y && y < h && 0 <= x + i && x + i < w;
            const std::ptrdiff_t at =
                ((static_cast<std::ptrdiff_t>(n) * h + y) * w + x + i) * image_channels_;
            for (int c = 0; c < kPixel; ++c) {
                out[i * kPixel + c] =
                    S::scalar(inside && c < image_channels_ ? sample(args, at + c) : 0.0f);
            }
        }
    }

    int image_channels_, channels_;
    Linear<S> linear_;
};

}  // namespace imagen_fast::cpu
