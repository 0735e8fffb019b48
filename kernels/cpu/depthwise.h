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
        : window_(window),
          pixel_(plane.pixel),
          columns_(Extent::columns(plane)),
          start_(before(window)) {
        const Extent rows = Extent::rows(plane);
        for (int i = 0; i < window.size; ++i) {
            const int row = rows.stand_in(window.stride * y - start_ + i, window.padding);
            row_[i] = row == kNothing ? nullptr : plane.at<Scalar>(n, row, 0);
        }
    }
    void move_to(int x) {
        for (int i = 0; i < window_.size; ++i) {
            column_[i] = columns_.stand_in(window_.stride * x - start_ + i, window_.padding);
        }
    }
    // Whether all that `count` pixels from x on are computed of is there, with a stride of 1.
    bool whole(int x, int count) const {
        return x - start_ >= columns_.first &&
               x + count + window_.size - 1 - start_ <= columns_.end;
    }
    // The first pixel in a row of the window where all of its columns are there, or null.
    IMAGEN_INLINE const Scalar* whole_row(int ky, int x) const {
        return row_[ky] ? row_[ky] + (x - start_) * pixel_ : nullptr;
    }
    // each(tap, pixel) for those that there are
    template <class Each>
    IMAGEN_INLINE void visit(Each each) const {
        for (int ky = 0; ky < window_.size; ++ky) {
            for (int kx = 0; row_[ky] && kx < window_.size; ++kx) {
                if (column_[kx] != kNothing) {
                    each(ky * window_.size + kx, row_[ky] + column_[kx] * pixel_);
                }
            }
        }
    }

private:
    const Kernel& window_;
    const std::ptrdiff_t pixel_;
    const Extent columns_;
    const int start_;
    const Scalar* row_[kMostSegments];
    int column_[kMostSegments];
};

// Block: one row of one image of the result, in both.
template <class S>
class Depthwise final : public RowOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    using Pixels = WindowPixels<S>;

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
        finisher_.in_row(args, n, y, [&](auto finish) {
            switch (window_.stride == 1 ? window_.size : 0) {
                case 3:
                    return row<3>(n, y, args, finish);
                case 5:
                    return row<5>(n, y, args, finish);
                case 7:
                    return row<7>(n, y, args, finish);
                default:
                    return row<0>(n, y, args, finish);
            }
        });
    }

private:
    static constexpr int kTogether = 4;  // pixels that share what is loaded

    // size: of windows whose pixels are computed together, or 0
    template <int size, class End>
    void row(int n, int y, const Args& args, End finish) const {
        Pixels pixels(window_, args.x, n, y);
        const int width = args.out.width;
        for (int x = 0; x < width;) {
            // The last ones are computed with some that were before.
            const int first = x + kTogether > width ? width - kTogether : x;
            if (size && first >= 0 && pixels.whole(first, kTogether)) {
                together<size>(pixels, n, y, first, args, finish);
                x = first + kTogether;
            } else {
                one(pixels, n, y, x++, args, finish);
            }
        }
    }
    template <class End>
    void one(Pixels& pixels, int n, int y, int x, const Args& args, End finish) const {
        pixels.move_to(x);
        Scalar* out = args.out.at<Scalar>(n, y, x);
        for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
            Vec low = S::load(bias() + c), high = S::load(bias() + c + S::lanes);
            pixels.visit([&](int tap, const Scalar* pixel) {
                const float* weight = weights() + tap * channels_ + c;
                low = S::fma(S::load(pixel + c), S::load(weight), low);
                high = S::fma(S::load(pixel + c + S::lanes), S::load(weight + S::lanes), high);
            });
            finish(x, c, low, high);
            put<S>(out + c, low, high, args.out.streamed);
        }
    }
    // Pixels x to x + kTogether - 1, whose windows lie within the row.
    template <int size, class End>
    void together(const Pixels& pixels, int n, int y, int x, const Args& args, End finish) const {
        if constexpr (size > 0) {
            const Scalar* rows[size];
            for (int ky = 0; ky < size; ++ky) {
                rows[ky] = pixels.whole_row(ky, x);
            }
            Scalar* const out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low[kTogether], high[kTogether];
                sums<size>(rows, args.x.pixel, c, low);
                sums<size>(rows, args.x.pixel, c + S::lanes, high);
                for (int i = 0; i < kTogether; ++i) {
                    finish(x + i, c, low[i], high[i]);
                    put<S>(out + i * std::ptrdiff_t{args.out.pixel} + c, low[i], high[i],
                           args.out.streamed);
                }
            }
        }
    }
    template <int size>
    IMAGEN_INLINE void sums(const Scalar* const (&rows)[size], std::ptrdiff_t pixel, int c,
                            Vec* sum) const {
        const Vec start = S::load(bias() + c);
        for (int i = 0; i < kTogether; ++i) {
            sum[i] = start;
        }
        const float* weight = weights() + c;
        for (int ky = 0; ky < size; ++ky, weight += size * channels_) {
            if (!rows[ky] || c >= used_) {
                continue;
            }
            Vec in[kTogether + size - 1];
            const Scalar* from = rows[ky] + c;
            for (int i = 0; i < kTogether + size - 1; ++i, from += pixel) {
                in[i] = S::load(from);
            }
            for (int kx = 0; kx < size; ++kx) {
                const Vec w = S::load(weight + kx * channels_);
                for (int i = 0; i < kTogether; ++i) {
                    sum[i] = S::fma(in[i + kx], w, sum[i]);
                }
            }
        }
    }
    const float* weights() const { return static_cast<const float*>(weights_.data()); }
    const float* bias() const { return static_cast<const float*>(bias_.data()); }

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
