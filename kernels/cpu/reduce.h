// Many numbers to one: the pixels of a channel, the channels of a pixel; and layer norm over these.
#pragma once

#include <cmath>

#include "buffer.h"
#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

// Block: some channels of one image.
template <class S>
class ReducePicture final : public Op {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int kWide = 2 * S::lanes;

public:
    explicit ReducePicture(Reduction reduction) : reduction_(reduction) {}

    int blocks(const Args& args) const override {
        return args.x.images * (args.x.channels / kWide);
    }
    void run(int block, const Args& args, std::byte*) const override {
        const int groups = args.x.channels / kWide, n = block / groups, c = block % groups * kWide;
        alignas(64) float result[kWide];
        if (reduction_ == Reduction::maximum) {
            maximum(args.x, n, c, result);
        } else {
            alignas(64) const float zeros[kWide] = {};
            mean(args.x, n, c, result, [](Vec v, Vec) { return v; }, zeros);
            if (reduction_ != Reduction::mean) {
                alignas(64) float middle[kWide];
                for (int i = 0; i < kWide; ++i) {
                    middle[i] = result[i];
                }
                mean(args.x, n, c, result,
                     [](Vec v, Vec m) {
                         const Vec from = S::sub(v, m);
                         return S::mul(from, from);
                     },
                     middle);
            }
            for (int i = 0; reduction_ == Reduction::deviation && i < kWide; ++i) {
                result[i] = ::sqrtf(result[i]);
            }
        }
        S::store(args.out.at<Scalar>(n, 0, 0) + c, S::load(result), S::load(result + S::lanes));
    }

private:
    // Sums of rows are added in double: a picture has millions of pixels.
    template <class Of>
    static void mean(const Plane& x, int n, int c, float* result, Of of, const float* middle) {
        double totals[kWide] = {};
        const Vec low_middle = S::load(middle), high_middle = S::load(middle + S::lanes);
        for (int y = 0; y < x.height; ++y) {
            const Scalar* in = x.at<Scalar>(n, y, 0) + c;
            Vec low = S::zero(), high = S::zero();
            for (int i = 0; i < x.width; ++i, in += x.pixel) {
                low = S::add(low, of(S::load(in), low_middle));
                high = S::add(high, of(S::load(in + S::lanes), high_middle));
            }
            alignas(64) float row[kWide];
            S::store(row, low);
            S::store(row + S::lanes, high);
            for (int i = 0; i < kWide; ++i) {
                totals[i] += row[i];
            }
        }
        for (int i = 0; i < kWide; ++i) {
            result[i] = static_cast<float>(totals[i] / x.height / x.width);
        }
    }
    static void maximum(const Plane& x, int n, int c, float* result) {
        Vec low = S::set(-3.4e38f), high = low, bad_low = S::zero(), bad_high = S::zero();
        for (int y = 0; y < x.height; ++y) {
            const Scalar* in = x.at<Scalar>(n, y, 0) + c;
            for (int i = 0; i < x.width; ++i, in += x.pixel) {
                const Vec a = S::load(in), b = S::load(in + S::lanes);
                low = S::max(low, a);
                high = S::max(high, b);
                bad_low = S::fma(a, S::zero(), bad_low);  // 0 unless something is not finite
                bad_high = S::fma(b, S::zero(), bad_high);
            }
        }
        S::store(result, S::add(low, bad_low));
        S::store(result + S::lanes, S::add(high, bad_high));
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
class ReduceChannels final : public Op {
    using Scalar = typename S::Scalar;

public:
    ReduceChannels(Reduction reduction, int channels)
        : reduction_(reduction), channels_(channels) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.out.height, y = block % args.out.height;
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
class LayerNorm final : public Op {
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

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.out.height, y = block % args.out.height;
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
