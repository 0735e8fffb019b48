// x + SiLU(conv3x3(x) + b), and its gradients. The forward pass, which has the exponential, keeps the
// activation's slope, so that the backward pass has only to multiply by it.
#pragma once

#include "../cpu/activation.h"
#include "conv3x3.h"
#include "for_pairs.h"

namespace imagen_fast::cpu {

template <class S>
class ConvBlock final : public Op {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    explicit ConvBlock(const Conv3x3Weights& w) : channels_(w.out), sums_(w) {}

    int blocks(const Args& args) const override { return args.x.images; }
    std::size_t scratch(const Args& args) const override { return sums_.scratch(args.x); }

    // Block: one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        sums_.run(block, args.x, scratch, [&](int y, int x, int pixels, const float* sums, int) {
            finish(args.x.at<Scalar>(block, y, x), sums, pixels * channels_,
                   args.out.at<Scalar>(block, y, x), args.other.at<Scalar>(block, y, x));
        });
    }

private:
    // Pixels lie one after the other, everywhere.
    static IMAGEN_INLINE void finish(const Scalar* x, const float* sums, int elements, Scalar* out,
                                     Scalar* slopes) {
        for_pairs<S>(
            elements,
            [&](int i) {
                Vec a, b;
                const Vec low = activated(sums + i, a), high = activated(sums + i + S::lanes, b);
                S::store(slopes + i, a, b);
                S::store(out + i, S::add(S::load(x + i), low),
                         S::add(S::load(x + i + S::lanes), high));
            },
            [&](int i) {
                Vec slope;
                S::store(out + i, S::add(S::load(x + i), activated(sums + i, slope)));
                S::store(slopes + i, slope);
            });
    }
    // s · σ(s), and its slope σ(s) + s · σ(s) · (1 - σ(s))
    static IMAGEN_INLINE Vec activated(const float* sums, Vec& slope) {
        const Vec v = S::load(sums), gate = sigmoid<S>(v), silu = S::mul(v, gate);
        slope = S::fma(silu, S::sub(S::set(1.0f), gate), gate);
        return silu;
    }

    int channels_;
    Conv3x3Sums<S> sums_;
};

template <class S>
class ConvBlockGradient final : public GradientOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    explicit ConvBlockGradient(const Conv3x3Weights& w) : channels_(w.out), gradient_(w) {}

    int blocks(const GradientArgs& args) const override { return args.x.images; }
    std::size_t scratch(const GradientArgs& args) const override {
        return gradient_.scratch(args.x);
    }
    std::ptrdiff_t sums() const override { return gradient_.sums(); }
    // weight (out, 3, 3, in), bias
    void collect(const float* sums, float* const* gradients) const override {
        gradient_.collect(sums, gradients[0], gradients[1]);
    }

    // Block: one image.
    void run(int block, const GradientArgs& args, std::byte* scratch, float* sums) const override {
        gradient_.run(
            block, args.x, scratch, sums,
            [&](int y, Scalar* out, int pixel, float* bias) {
                const Scalar* gradient = args.gradient.at<Scalar>(block, y, 0);
                const Scalar* slopes = args.other.at<Scalar>(block, y, 0);
                for (int c = 0; c < channels_; c += S::lanes) {
                    Vec sum = S::load(bias + c);
                    for (int i = 0; i < args.x.width; ++i) {
                        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * channels_ + c;
                        const Vec v = S::mul(S::load(gradient + at), S::load(slopes + at));
                        S::store(out + i * pixel + c, v);
                        sum = S::add(sum, v);
                    }
                    S::store(bias + c, sum);
                }
            },
            [&](int y, int x, int pixels, const float* products, int) {
                add(args.gradient.at<Scalar>(block, y, x), products, pixels * channels_,
                    args.x_gradient.at<Scalar>(block, y, x));
            });
    }

private:
    static IMAGEN_INLINE void add(const Scalar* gradient, const float* products, int elements,
                                  Scalar* out) {
        for_pairs<S>(
            elements,
            [&](int i) {
                const Scalar* high = gradient + i + S::lanes;
                S::store(out + i, S::add(S::load(gradient + i), S::load(products + i)),
                         S::add(S::load(high), S::load(products + i + S::lanes)));
            },
            [&](int i) {
                S::store(out + i, S::add(S::load(gradient + i), S::load(products + i)));
            });
    }

    int channels_;
    Conv3x3Gradient<S> gradient_;
};

}  // namespace imagen_fast::cpu
