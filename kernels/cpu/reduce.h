// Many numbers to one: the pixels of a channel, the channels of a pixel; and layer norm over these.
#pragma once

#include <cmath>

#include "buffer.h"
#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

// The first step of reducing a picture. Block: one row of one image; of each channel its mean and the
// sum of its squared distances from that, or its maximum, go to `shared`: (images, height, 2, channels).
template <class S>
class ReduceRows final : public Op {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int kWide = 2 * S::lanes;
    static constexpr int kFirst = 8;  // pixels whose mean is near enough to the row's

public:
    explicit ReduceRows(Reduction reduction) : maximum_(reduction == Reduction::maximum) {}

    int blocks(const Args& args) const override { return args.x.images * args.x.height; }
    std::size_t shared(const Args& args) const override {
        return std::size_t{2} * args.x.images * args.x.height * args.x.channels * sizeof(float);
    }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.x.height, y = block % args.x.height;
        const Scalar* in = args.x.at<Scalar>(n, y, 0);
        float* out = static_cast<float*>(args.shared) +
                     std::ptrdiff_t{2} * block * args.x.channels;
        for (int c = 0; c < args.x.channels; c += kWide, in += kWide, out += kWide) {
            if (maximum_) {
                maximum(in, args.x, out);
            } else {
                moments(in, args.x, out);
            }
        }
    }

private:
    // In one pass: the distances are from the first pixels' mean, since numbers that are large beside
    // their deviation would leave nothing of it.
    static void moments(const Scalar* in, const Plane& x, float* out) {
        const int first = x.width < kFirst ? x.width : kFirst;
        const Vec one = S::set(1.0f / static_cast<float>(first));
        Vec near_low = S::zero(), near_high = S::zero();
        for (int i = 0; i < first; ++i) {
            near_low = S::fma(S::load(in + i * x.pixel), one, near_low);
            near_high = S::fma(S::load(in + i * x.pixel + S::lanes), one, near_high);
        }
        Vec low = S::zero(), high = S::zero(), low_squares = low, high_squares = high;
        for (int i = 0; i < x.width; ++i, in += x.pixel) {
            const Vec a = S::sub(S::load(in), near_low), b = S::sub(S::load(in + S::lanes), near_high);
            low = S::add(low, a);
            high = S::add(high, b);
            low_squares = S::fma(a, a, low_squares);
            high_squares = S::fma(b, b, high_squares);
        }
        const Vec part = S::set(1.0f / static_cast<float>(x.width));
        const Vec low_mean = S::mul(low, part), high_mean = S::mul(high, part);
        S::store(out, S::add(near_low, low_mean));
        S::store(out + S::lanes, S::add(near_high, high_mean));
        out += x.channels;
        S::store(out, S::max(S::zero(), S::sub(low_squares, S::mul(low, low_mean))));
        S::store(out + S::lanes, S::max(S::zero(), S::sub(high_squares, S::mul(high, high_mean))));
    }
    static void maximum(const Scalar* in, const Plane& x, float* out) {
        Vec low = S::set(-3.4e38f), high = low, bad_low = S::zero(), bad_high = S::zero();
        for (int i = 0; i < x.width; ++i, in += x.pixel) {
            const Vec a = S::load(in), b = S::load(in + S::lanes);
            low = S::max(low, a);
            high = S::max(high, b);
            bad_low = S::fma(a, S::zero(), bad_low);  // 0 unless something is not finite
            bad_high = S::fma(b, S::zero(), bad_high);
        }
        S::store(out, S::add(low, bad_low));
        S::store(out + S::lanes, S::add(high, bad_high));
    }

    bool maximum_;
};

// The second: of the rows. Block: some channels of one image. In double: there are thousands of rows.
template <class S>
class ReducePicture final : public Op {
    static constexpr int kWide = 2 * S::lanes;

public:
    explicit ReducePicture(Reduction reduction) : reduction_(reduction) {}

    int blocks(const Args& args) const override {
        return args.out.images * (args.out.channels / kWide);
    }
    void run(int block, const Args& args, std::byte*) const override {
        const int channels = args.x.channels, groups = channels / kWide;
        const int n = block / groups, c = block % groups * kWide;
        const float* rows = static_cast<const float*>(args.shared) +
                            std::ptrdiff_t{2} * n * args.x.height * channels + c;
        alignas(64) float result[kWide];
        for (int i = 0; i < kWide; ++i) {
            result[i] = of(rows + i, args.x.height, std::ptrdiff_t{2} * channels, channels, args.x.width);
        }
        S::store(args.out.template at<typename S::Scalar>(n, 0, 0) + c, S::load(result),
                 S::load(result + S::lanes));
    }

private:
    // `rows` of a channel, `row` floats from one to the next, its squares `squares` further on.
    float of(const float* rows, int height, std::ptrdiff_t row, int squares, int width) const {
        double sum = 0, more = 0;
        if (reduction_ == Reduction::maximum) {
            float most = rows[0];
            for (int y = 1; y < height; ++y) {
                const float v = rows[y * row];
                most = v > most || v != v ? v : most;  // NaN stays
            }
            return most;
        }
        for (int y = 0; y < height; ++y) {
            sum += rows[y * row];
        }
        const double mean = sum / height;
        if (reduction_ == Reduction::mean) {
            return static_cast<float>(mean);
        }
        for (int y = 0; y < height; ++y) {
            const double from = rows[y * row] - mean;
            more += rows[y * row + squares] + width * from * from;
        }
        const auto variance = static_cast<float>(more / height / width);
        return reduction_ == Reduction::variance ? variance : ::sqrtf(variance);
    }

    Reduction reduction_;
};

// Of the channels of a pixel; what pads them is left out.
template <class S>
class Channels {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    explicit Channels(int channels) : channels_(channels) {}

    template <class Of>
    IMAGEN_INLINE float mean(const Scalar* pixel, Of of) const {
        Vec sum = S::zero();
        for (int c = 0; c < channels_; c += S::lanes) {
            sum = S::add(sum, kept(of(S::load(pixel + c)), channels_ - c));
        }
        return S::sum(sum) / static_cast<float>(channels_);
    }
    float mean(const Scalar* pixel) const {
        return mean(pixel, [](Vec v) { return v; });
    }
    float variance(const Scalar* pixel, float middle) const {
        return mean(pixel, [&](Vec v) {
            const Vec from = S::sub(v, S::set(middle));
            return S::mul(from, from);
        });
    }
    float maximum(const Scalar* pixel) const {
        alignas(64) float values[S::lanes];
        float most = -3.4e38f, bad = 0;  // 0 · v is 0 unless v is infinite or NaN
        for (int c = 0; c < channels_; ++c) {
            if (c % S::lanes == 0) {
                S::store(values, S::load(pixel + c));
            }
            const float v = values[c % S::lanes];
            most = v > most ? v : most;
            bad += 0 * v;
        }
        return most + bad;
    }
    // The first `count` elements, then zeros.
    static IMAGEN_INLINE Vec kept(Vec v, int count) {
        if (count >= S::lanes) {
            return v;
        }
        alignas(64) float values[S::lanes];
        S::store(values, v);
        return count > 0 ? S::load_some(values, count) : S::zero();
    }

private:
    int channels_;
};

// Block: one row of one image, in both.
template <class S>
class ReduceChannels final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    ReduceChannels(Reduction reduction, int channels)
        : reduction_(reduction), channels_(channels) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        alignas(64) float result[S::lanes] = {};
        for (int x = 0; x < args.out.width; ++x) {
            result[0] = of(args.x.at<Scalar>(n, y, x));
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                S::store(out + c, c ? S::zero() : S::load(result), S::zero());
            }
        }
    }

private:
    float of(const Scalar* pixel) const {
        if (reduction_ == Reduction::maximum) {
            return channels_.maximum(pixel);
        }
        const float mean = channels_.mean(pixel);
        if (reduction_ == Reduction::mean) {
            return mean;
        }
        const float variance = channels_.variance(pixel, mean);
        return reduction_ == Reduction::variance ? variance : ::sqrtf(variance);
    }

    Reduction reduction_;
    Channels<S> channels_;
};

template <class S>
class LayerNorm final : public RowOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    LayerNorm(int channels, float epsilon, const float* weight, const float* bias)
        : channels_(channels),
          epsilon_(epsilon),
          weight_(round_up(channels, kChannelMultiple) * sizeof(float)),
          bias_(round_up(channels, kChannelMultiple) * sizeof(float)) {
        for (int c = 0; c < channels; ++c) {
            static_cast<float*>(weight_.data())[c] = weight ? weight[c] : 1.0f;
            static_cast<float*>(bias_.data())[c] = bias ? bias[c] : 0.0f;
        }
    }

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const auto* weight = static_cast<const float*>(weight_.data());
        const auto* bias = static_cast<const float*>(bias_.data());
        const int width = args.out.width, channels = args.out.channels;
        const bool streamed = args.out.streamed;
        for (int first = 0; first < width; first += kPixels) {
            const int count = width - first < kPixels ? width - first : kPixels;
            const Scalar* in = args.x.at<Scalar>(n, y, first);
            Scalar* out = args.out.at<Scalar>(n, y, first);
            float means[kPixels], roots[kPixels];
            for (int i = 0; i < count; ++i) {
                means[i] = channels_.mean(in + i * args.x.pixel);
            }
            for (int i = 0; i < count; ++i) {
                roots[i] = channels_.variance(in + i * args.x.pixel, means[i]);
            }
            for (int i = 0; i < count; ++i) {
                roots[i] = 1.0f / ::sqrtf(roots[i] + epsilon_);
            }
            for (int i = 0; i < count; ++i, in += args.x.pixel, out += args.out.pixel) {
                const Vec middle = S::set(means[i]), factor = S::set(roots[i]);
                const auto norm = [&](int c) {
                    const Vec from = S::mul(S::sub(S::load(in + c), middle), factor);
                    return S::fma(from, S::load(weight + c), S::load(bias + c));
                };
                for (int c = 0; c < channels; c += 2 * S::lanes) {
                    put<S>(out + c, norm(c), norm(c + S::lanes), streamed);
                }
            }
        }
    }

private:
    static constexpr int kPixels = 16;  // at a time: one's sums need not wait for another's roots

    Channels<S> channels_;
    float epsilon_;
    Buffer weight_, bias_;
};

}  // namespace imagen_fast::cpu
