// What follows a sum before it is stored: an activation, a factor, what is added.
#pragma once

#include "activation.h"
#include "buffer.h"
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
          slopes_(round_up(channels, kChannelMultiple) * sizeof(float)) {
        for (int c = 0; finish.slopes && c < channels; ++c) {
            static_cast<float*>(slopes_.data())[c] = finish.slopes[c];
        }
    }

    const float* slopes() const { return static_cast<const float*>(slopes_.data()); }
    bool nothing(const Args& args) const { return nothing() && args.additions == 0; }
    bool nothing() const { return activation_ == Activation::none && !scaled(); }
    bool scaled() const { return scale_ != 1 || offset_ != 0; }

    // Channels c and on of pixel (y, x) of image n.
    IMAGEN_INLINE void finish(const Args& args, int n, int y, int x, int c, Vec& low,
                              Vec& high) const {
        act(c, low, high);
        for (int i = 0; i < args.additions; ++i) {
            const Scalar* p = args.added[i].template at<Scalar>(n, y, x) + c;
            low = S::add(S::load(p), low);
            high = S::add(S::load(p + S::lanes), high);
        }
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
            case Activation::gelu:
                low = gelu<S>(low);
                high = gelu<S>(high);
                break;
        }
        if (scaled()) {
            low = S::fma(low, S::set(scale_), S::set(offset_));
            high = S::fma(high, S::set(scale_), S::set(offset_));
        }
    }

private:
    Activation activation_;
    float scale_, offset_;
    Buffer slopes_;
};

}  // namespace imagen_fast::cpu
