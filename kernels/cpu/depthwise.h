// What is computed of a window of pixels, each channel for itself: depthwise convolution and the
// maximum.
#pragma once

#include "border.h"
#include "finish.h"
#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

// The pixels of a window, by row and column; null where there are zeros.
template <class S>
class WindowPixels {
    using Scalar = typename S::Scalar;

public:
    WindowPixels(const Kernel& window, const Plane& plane, int n, int y)
        : window_(window), plane_(plane), start_(before(window)) {
        for (int i = 0; i < window.size; ++i) {
            const int row = stand_in(window.stride * y - start_ + i, plane.height, window.padding);
            row_[i] = row < 0 ? nullptr : plane.at<Scalar>(n, row, 0);
        }
    }
    void move_to(int x) {
        for (int i = 0; i < window_.size; ++i) {
            column_[i] =
                stand_in(window_.stride * x - start_ + i, plane_.width, window_.padding);
        }
    }
    // The pixels of a row of the window where all of its columns are within the picture, or null.
    const Scalar* whole_row(int ky, int x) const {
        return row_[ky] ? row_[ky] + (x - start_) * static_cast<std::ptrdiff_t>(plane_.pixel)
                        : nullptr;
    }
    // each(tap, pixel) for those that there are
    template <class Each>
    IMAGEN_INLINE void visit(Each each) const {
        for (int ky = 0; ky < window_.size; ++ky) {
            for (int kx = 0; row_[ky] && kx < window_.size; ++kx) {
                if (column_[kx] >= 0) {
                    each(ky * window_.size + kx,
                         row_[ky] + static_cast<std::ptrdiff_t>(column_[kx]) * plane_.pixel);
                }
            }
        }
    }

private:
    const Kernel& window_;
    const Plane& plane_;
    int start_;
    const Scalar* row_[kMostSegments];
    int column_[kMostSegments];
};

// Block: one row of one image of the result, in both.
template <class S>
class Depthwise final : public RowOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    Depthwise(const Convolution& conv, const Kernel& window, const Finish& finish)
        : window_(window),
          used_(conv.out),
          channels_(round_up(conv.out, kChannelMultiple)),
          weights_(std::size_t(channels_) * window.size * window.size * sizeof(float)),
          bias_(channels_ * sizeof(float)),
          finisher_(finish, conv.out) {
        const int taps = window.size * window.size;
        for (int c = 0; c < conv.out; ++c) {
            for (int tap = 0; tap < taps; ++tap) {
                static_cast<float*>(weights_.data())[tap * channels_ + c] =
                    conv.weight[c * taps + tap];
            }
            static_cast<float*>(bias_.data())[c] = conv.bias[c];
        }
    }

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const auto* weights = static_cast<const float*>(weights_.data());
        const auto* bias = static_cast<const float*>(bias_.data());
        WindowPixels<S> pixels(window_, args.x, n, y);
        const int start = before(window_), rest = window_.size - 1 - start;
        for (int x = 0; x < args.out.width;) {
            if (x >= start && x + kTogether + rest <= args.x.width && together(pixels, args, n, y, x)) {
                x += kTogether;
                continue;
            }
            pixels.move_to(x);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low = S::load(bias + c), high = S::load(bias + c + S::lanes);
                pixels.visit([&](int tap, const Scalar* pixel) {
                    const float* weight = weights + tap * channels_ + c;
                    low = S::fma(S::load(pixel + c), S::load(weight), low);
                    high = S::fma(S::load(pixel + c + S::lanes), S::load(weight + S::lanes), high);
                });
                finisher_.finish(args, n, y, x, c, low, high);
                put<S>(out + c, low, high, args.out.streamed);
            }
            ++x;
        }
    }

private:
    static constexpr int kTogether = 4;  // pixels that share what is loaded

    // Pixels x to x + kTogether - 1, whose windows lie within the row; false if this cannot be done.
    bool together(const WindowPixels<S>& pixels, const Args& args, int n, int y, int x) const {
        switch (window_.stride == 1 ? window_.size : 0) {
            case 3:
                together<3>(pixels, args, n, y, x);
                return true;
            case 5:
                together<5>(pixels, args, n, y, x);
                return true;
            case 7:
                together<7>(pixels, args, n, y, x);
                return true;
        }
        return false;
    }
    template <int size>
    void together(const WindowPixels<S>& pixels, const Args& args, int n, int y, int x) const {
        for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
            Vec low[kTogether], high[kTogether];
            sums<size>(pixels, args.x.pixel, x, c, low);
            sums<size>(pixels, args.x.pixel, x, c + S::lanes, high);
            Scalar* out = args.out.at<Scalar>(n, y, x) + c;
            for (int i = 0; i < kTogether; ++i, out += args.out.pixel) {
                finisher_.finish(args, n, y, x + i, c, low[i], high[i]);
                put<S>(out, low[i], high[i], args.out.streamed);
            }
        }
    }
    template <int size>
    IMAGEN_INLINE void sums(const WindowPixels<S>& pixels, std::ptrdiff_t pixel, int x, int c,
                            Vec* sum) const {
        const Vec bias = S::load(static_cast<const float*>(bias_.data()) + c);
        for (int i = 0; i < kTogether; ++i) {
            sum[i] = bias;
        }
        const float* weight = static_cast<const float*>(weights_.data()) + c;
        for (int ky = 0; ky < size; ++ky, weight += size * channels_) {
            const Scalar* row = pixels.whole_row(ky, x);
            if (!row || c >= used_) {
                continue;
            }
            Vec in[kTogether + size - 1];
            for (int i = 0; i < kTogether + size - 1; ++i) {
                in[i] = S::load(row + i * pixel + c);
            }
            for (int kx = 0; kx < size; ++kx) {
                const Vec w = S::load(weight + kx * channels_);
                for (int i = 0; i < kTogether; ++i) {
                    sum[i] = S::fma(in[i + kx], w, sum[i]);
                }
            }
        }
    }

    Kernel window_;
    int used_, channels_;  // without and with what pads them
    Buffer weights_, bias_;  // (kernel², channels), (channels)
    Finisher<S> finisher_;
};

template <class S>
class MaxPool final : public RowOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    explicit MaxPool(const Kernel& window) : window_(window) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        WindowPixels<S> pixels(window_, args.x, n, y);
        for (int x = 0; x < args.out.width; ++x) {
            pixels.move_to(x);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low = S::set(-3.4e38f), high = low;
                Vec bad_low = S::zero(), bad_high = S::zero();  // 0 · v is 0 unless v is not finite
                pixels.visit([&](int, const Scalar* pixel) {
                    const Vec a = S::load(pixel + c), b = S::load(pixel + c + S::lanes);
                    low = S::max(low, a);
                    high = S::max(high, b);
                    bad_low = S::fma(a, S::zero(), bad_low);
                    bad_high = S::fma(b, S::zero(), bad_high);
                });
                put<S>(out + c, S::add(low, bad_low), S::add(high, bad_high), args.out.streamed);
            }
        }
    }

private:
    Kernel window_;
};

}  // namespace imagen_fast::cpu
