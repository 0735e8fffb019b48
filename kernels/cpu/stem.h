// 3×3 convolution of the picture itself: samples in, features out.
#pragma once

#include <cstring>

#include "linear.h"
#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class Stem final : public Op {
    using Scalar = typename S::Scalar;

public:
    Stem(const Convolution& conv, const Finish& finish)
        : image_channels_(conv.in),
          depth_(round_up(9 * conv.in, S::k_multiple)),
          linear_(
              depth_, round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {  // i = (ky, kx, c)
                  const int c = i % conv.in, tap = i / conv.in;
                  return tap < 9 && j < conv.out ? conv.weight[(j * conv.in + c) * 9 + tap] : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    std::size_t scratch(const Args&) const override {
        return linear_.scratch() + (3 * row() + kPixels * depth_ + kSpare) * sizeof(Scalar);
    }

    // Block: one row of one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        auto* rows = reinterpret_cast<Scalar*>(scratch + linear_.scratch());
        Scalar* pixels = rows + 3 * row();
        linear_.run(
            args.out.width, scratch,
            [&](int x, int count) {
                for (int i = 0; i < 3; ++i) {
                    read(args, n, y + i - 1, x - 1, count + 2, rows + i * row());
                }
                spread(rows, count, pixels);
                return Rows<S>{{pixels}, 1, depth_, depth_, count};
            },
            [&](int x, int count, const float* values) {
                linear_.store(values, count, finisher_, args, n, y, x);
            });
    }

private:
    static constexpr int kPixels = Linear<S>::kPixels;
    static constexpr int kSpare = 16;  // samples beyond their last use that whole vectors reach

    int row() const { return round_up((kPixels + 2) * image_channels_, kSpare) + 2 * kSpare; }

    // Samples of pixels x to x + count - 1 of row y; zeros outside the picture.
    void read(const Args& args, int n, int y, int x, int count, Scalar* out) const {
        const int h = args.out.height, w = args.out.width;
        const int from = x < 0 ? 0 : x, to = x + count < w ? x + count : w;
        const int end = count * image_channels_;
        for (int i = 0; i < end + kSpare; i += S::lanes) {
            S::store(out + i, S::zero());
        }
        if (y < 0 || y >= h) {
            return;
        }
        const std::ptrdiff_t first =
            ((static_cast<std::ptrdiff_t>(n) * h + y) * w + from) * image_channels_;
        out += (from - x) * image_channels_;
        const int samples = (to - from) * image_channels_;
        for (int i = 0; i < samples; i += S::lanes) {
            const int left = samples - i;
            const int some = left < S::lanes ? left : S::lanes;
            S::store(out + i, args.bytes ? load_samples<S>(
                                               static_cast<const std::uint8_t*>(args.image) + first + i, some)
                                         : load_samples<S>(
                                               static_cast<const float*>(args.image) + first + i, some));
        }
    }

    // Three rows of samples → (count, ky, kx, c): each pixel's neighbourhood. More than its 3 · C
    // samples are copied of a row, as many as a copy of fixed length takes; the next row and pixel
    // are written over them, and the last row's are multiplied by zeros.
    void spread(const Scalar* rows, int count, Scalar* out) const {
        static_assert(3 * kMostImageChannels <= kSpare, "a copy holds three pixels");
        const int three = 3 * image_channels_;
        for (int i = 0; i < count; ++i, out += depth_, rows += image_channels_) {
            for (int ky = 0; ky < 3; ++ky) {
                std::memcpy(out + ky * three, rows + ky * row(), kSpare * sizeof(Scalar));
            }
            for (int j = 2 * three + kSpare; j < depth_; ++j) {
                out[j] = Scalar{};
            }
        }
    }

    int image_channels_, depth_;
    Linear<S> linear_;
    Finisher<S> finisher_;
};

}  // namespace imagen_fast::cpu
