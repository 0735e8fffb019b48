// x + SiLU(conv3x3(x) + b), and its gradients. The forward pass, which has the exponential, keeps the
// activation's slope, so that the backward pass has only to multiply by it.
#pragma once

#include "../cpu/activation.h"
#include "ahead.h"
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
        const Scalar* from = args.x.at<Scalar>(0, 0, 0);
        Scalar* out = args.out.at<Scalar>(0, 0, 0);
        Scalar* slopes = args.other.at<Scalar>(0, 0, 0);
        sums_.run(block, args.x, scratch, [&](int line, int x, const float* sums) {
            const std::ptrdiff_t at = pixel(args.x, line, x);
            ask_ahead(from + at, channels_, kReadAhead);
            ask_ahead(out + at, channels_, kWrittenAhead);
            ask_ahead(slopes + at, channels_, kWrittenAhead);
            finish(from + at, sums, channels_, out + at, slopes + at);
        });
    }

private:
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
        const Scalar* dy = args.gradient.at<Scalar>(0, 0, 0);
        Scalar* dx = args.x_gradient.at<Scalar>(0, 0, 0);
        gradient_.run(
            block, args.x, scratch, sums,
            [&](int y, Scalar* out, int pixel, float* bias) {
                const Scalar* gradient = args.gradient.at<Scalar>(block, y, 0);
                const Scalar* slopes = args.other.at<Scalar>(block, y, 0);
                for_pairs<S>(
                    channels_,
                    [&](int c) {
                        Vec low = S::load(bias + c), high = S::load(bias + c + S::lanes);
                        const Scalar *g = gradient + c, *s = slopes + c;
                        for (int i = 0; i < args.x.width; ++i, g += channels_, s += channels_) {
                            const Vec a = S::mul(S::load(g), S::load(s));
                            const Vec b = S::mul(S::load(g + S::lanes), S::load(s + S::lanes));
                            S::store(out + i * pixel + c, a, b);
                            low = S::add(low, a);
                            high = S::add(high, b);
                        }
                        S::store(bias + c, low);
                        S::store(bias + c + S::lanes, high);
                    },
                    [&](int c) {
                        Vec sum = S::load(bias + c);
                        const Scalar *g = gradient + c, *s = slopes + c;
                        for (int i = 0; i < args.x.width; ++i, g += channels_, s += channels_) {
                            const Vec v = S::mul(S::load(g), S::load(s));
                            S::store(out + i * pixel + c, v);
                            sum = S::add(sum, v);
                        }
                        S::store(bias + c, sum);
                    });
            },
            [&](int line, int x, const float* products) {
                const std::ptrdiff_t at = pixel(args.x, line, x);
                ask_ahead(args.x.at<Scalar>(0, 0, 0) + at, channels_, kReadAhead);
                ask_ahead(args.other.at<Scalar>(0, 0, 0) + at, channels_, kReadAhead);
                ask_ahead(dy + at, channels_, kReadAhead);
                ask_ahead(dx + at, channels_, kWrittenAhead);
                add(dy + at, products, channels_, dx + at);
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
