// 3×3 convolution of the picture itself: samples in, features out.
#pragma once

#include "linear.h"
#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class Stem final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Stem(const Convolution& conv, const Finish& finish)
        : image_channels_(conv.in),
          run_(round_up(3 * conv.in, S::k_multiple)),
          linear_(
              3 * run_, round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {  // i = (ky, (kx, c)), and what completes a run
                  const int ky = i / run_, sample = i % run_;
                  const int kx = sample / conv.in, c = sample % conv.in;
                  return kx < 3 && j < conv.out
                             ? conv.weight[(j * conv.in + c) * 9 + ky * 3 + kx]
                             : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out),
          affine_(conv.factor != nullptr),
          factors_(row() * sizeof(float)),
          summands_(row() * sizeof(float)) {
        for (int i = 0; affine_ && i < row(); ++i) {
            static_cast<float*>(factors_.data())[i] = conv.factor[i % conv.in];
            static_cast<float*>(summands_.data())[i] = conv.summand[i % conv.in];
        }
    }

    std::size_t scratch(const Args&) const override {
        return linear_.scratch() + 3 * row() * sizeof(Scalar);
    }

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        auto* rows = reinterpret_cast<Scalar*>(scratch + linear_.scratch());
        linear_.run_row(
            n, y, args, finisher_, scratch,
            [&](int x, int count) {
                for (int i = 0; i < 3; ++i) {
                    read(args, n, y + i - 1, x - 1, count + 2, rows + i * row());
                }
                // A pixel's neighbours lie side by side in each row: rows of a matrix that overlap.
                return Rows<S>{{rows, rows + row(), rows + 2 * row()}, 3, run_, image_channels_,
                               count};
            });
    }

private:
    static constexpr int kPixels = Linear<S>::kPixels;
    static constexpr int kSpare = 32;  // samples beyond a row's that runs and whole vectors reach

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
            auto v = args.bytes
                         ? load_samples<S>(static_cast<const std::uint8_t*>(args.image) + first + i, some)
                         : load_samples<S>(static_cast<const float*>(args.image) + first + i, some);
            if (affine_) {
                v = S::fma(v, S::load(static_cast<const float*>(factors_.data()) + i),
                           S::load(static_cast<const float*>(summands_.data()) + i));
            }
            S::store(out + i, v);
        }
        for (int i = samples; affine_ && i % S::lanes; ++i) {
            out[i] = Scalar{};  // beyond the last one a summand is no sample
        }
    }

    int image_channels_, run_;  // run: samples of a row that a pixel reads
    Linear<S> linear_;
    Finisher<S> finisher_;
    bool affine_;
    Buffer factors_, summands_;  // of each sample of a row
};

}  // namespace imagen_fast::cpu
