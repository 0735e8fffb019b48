// What follows a sum before it is stored: an activation, a factor, what is added.
#pragma once

#include "activation.h"
#include "buffer.h"
#include "functions.h"
#include "op.h"

namespace imagen_fast::cpu {

// Of one vector; `slopes` are those of its channels.
template <class S, Activation activation>
IMAGEN_INLINE typename S::Vec activate(typename S::Vec v, const float* slopes) {
    if constexpr (activation == Activation::slopes) {
        const typename S::Vec below = S::min(S::zero(), v);  // in this order NaN stays NaN
        return S::fma(below, S::load(slopes), S::max(S::zero(), v));
    } else if constexpr (activation == Activation::silu) {
        return silu<S>(v);
    } else if constexpr (activation == Activation::sigmoid) {
        return sigmoid<S>(v);
    } else if constexpr (activation == Activation::gelu) {
        return gelu<S>(v);
    } else {
        return v;
    }
}

// Any finish, chosen while it runs.
template <class S>
class Finisher {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    Finisher(const Finish& finish, int channels)
        : activation_(finish.activation),
          scale_(finish.scale),
          offset_(finish.offset),
          added_(finish.added),
          slope_(finish.slope),
          low_(finish.low),
          high_(finish.high),
          exponent_(finish.exponent),
          slopes_(round_up(channels, kChannelMultiple) * sizeof(float)) {
        for (int c = 0; finish.slopes && c < channels; ++c) {
            static_cast<float*>(slopes_.data())[c] = finish.slopes[c];
        }
    }

    const float* slopes() const { return static_cast<const float*>(slopes_.data()); }
    bool nothing(const Args& args) const { return nothing() && args.additions == 0; }
    bool nothing() const { return activation_ == Activation::none && !scaled(); }
    bool only_adds() const { return nothing() && added_ == Finish::Added::added; }
    bool scaled() const { return scale_ != 1 || offset_ != 0; }
    Activation activation() const { return activation_; }
    Finish::Added added() const { return added_; }
    float scale() const { return scale_; }
    float offset() const { return offset_; }

    // Calls run(finish), where finish(x, c, low, high) is of row y of image n. The commonest finishes
    // are chosen here, not for each vector.
    template <class Run>
    IMAGEN_INLINE void in_row(const Args& args, int n, int y, Run run) const {
        if (nothing(args)) {
            run([](int, int, Vec&, Vec&) {});
        } else if (only_adds() && args.additions == 1) {
            const Scalar* added = args.added[0].at<Scalar>(n, y, 0);
            const std::ptrdiff_t pixel = args.added[0].pixel;
            run([=](int x, int c, Vec& low, Vec& high) {
                low = S::add(S::load(added + x * pixel + c), low);
                high = S::add(S::load(added + x * pixel + c + S::lanes), high);
            });
        } else {
            run([&](int x, int c, Vec& low, Vec& high) {
                finish(args, n, y, x, c, low, high);
            });
        }
    }
    // Channels c and on of pixel (y, x) of image n.
    IMAGEN_INLINE void finish(const Args& args, int n, int y, int x, int c, Vec& low,
                              Vec& high) const {
        const bool gates = added_ != Finish::Added::added;
        Vec others_low = low, others_high = high;
        if (added_ == Finish::Added::times) {
            others_low = others_high = S::zero();
        }
        act(c, low, high);
        if (!gates) {
            others_low = low;
            others_high = high;
        }
        for (int i = 0; i < args.additions; ++i) {
            const Scalar* p = args.added[i].template at<Scalar>(n, y, x) + c;
            others_low = S::add(S::load(p), others_low);
            others_high = S::add(S::load(p + S::lanes), others_high);
        }
        low = gates ? S::mul(low, others_low) : others_low;
        high = gates ? S::mul(high, others_high) : others_high;
    }
    IMAGEN_INLINE void act(int c, Vec& low, Vec& high) const {
        const float* s = slopes() + c;
        switch (activation_) {
            case Activation::none:
                break;
            case Activation::slopes:
                low = activate<S, Activation::slopes>(low, s);
                high = activate<S, Activation::slopes>(high, s + S::lanes);
                break;
            case Activation::silu:
                low = silu<S>(low);
                high = silu<S>(high);
                break;
            case Activation::sigmoid:
                low = sigmoid<S>(low);
                high = sigmoid<S>(high);
                break;
            default:
                low = other(low);
                high = other(high);
        }
        if (scaled()) {
            low = S::fma(low, S::set(scale_), S::set(offset_));
            high = S::fma(high, S::set(scale_), S::set(offset_));
        }
    }

private:
    // Not inlined: these are few, and they would be in every kernel.
    IMAGEN_NOINLINE Vec other(Vec v) const {
        switch (activation_) {
            case Activation::gelu:
                return gelu<S>(v);
            case Activation::gelu_tanh:
                return gelu_tanh<S>(v);
            case Activation::mish:
                return mish<S>(v);
            case Activation::tanh:
                return tanh<S>(v);
            case Activation::hard_swish:
                return hard_swish<S>(v);
            case Activation::clamp:
                return S::min(S::set(high_), S::max(S::set(low_), v));
            case Activation::elu:
                return elu<S>(v, slope_);
            case Activation::abs:
                return S::max(v, S::sub(S::zero(), v));
            case Activation::square:
                return S::mul(v, v);
            default: {
                alignas(64) float values[S::lanes];
                S::store(values, v);
                apply(activation_, exponent_, values, S::lanes);
                return S::load(values);
            }
        }
    }

    Activation activation_;
    float scale_, offset_;
    Finish::Added added_;
    float slope_, low_, high_, exponent_;
    Buffer slopes_;
};

}  // namespace imagen_fast::cpu
