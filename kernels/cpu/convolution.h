// 3×3 convolution of a plane, and what follows it.
#pragma once

#include "conv3x3.h"
#include "finish.h"
#include "op.h"

namespace imagen_fast::cpu {

// The common cases: an activation, then at most one plane is added.
template <class S, Activation activation, bool adds>
struct PutOf {
    using Scalar = typename S::Scalar;
    static constexpr int vectors = 2;

    static IMAGEN_INLINE PutOf at(const Finisher<S>& finisher, const Args& args, int n, int y, int x,
                                  int c) {
        return {adds ? args.added[0].template at<Scalar>(n, y, x) + c : nullptr,
                args.out.template at<Scalar>(n, y, x) + c,
                finisher.slopes() + c,
                args.added[0].pixel,
                args.out.pixel,
                args.out.streamed};
    }
    IMAGEN_INLINE void operator()(int i, const float* values) const {
        auto low = activate<S, activation>(S::load(values), slopes);
        auto high = activate<S, activation>(S::load(values + S::lanes), slopes + S::lanes);
        if constexpr (adds) {
            const Scalar* from = added + static_cast<std::ptrdiff_t>(i) * added_pixel;
            low = S::add(S::load(from), low);
            high = S::add(S::load(from + S::lanes), high);
        }
        put<S>(out + static_cast<std::ptrdiff_t>(i) * pixel, low, high, streamed);
    }

    const Scalar* added;
    Scalar* out;
    const float* slopes;
    int added_pixel, pixel;
    bool streamed;
};

// All others.
template <class S>
struct PutAny {
    using Scalar = typename S::Scalar;
    static constexpr int vectors = 2;

    static IMAGEN_INLINE PutAny at(const Finisher<S>& finisher, const Args& args, int n, int y,
                                   int x, int c) {
        return {&finisher, &args, n, y, x, c};
    }
    IMAGEN_INLINE void operator()(int i, const float* values) const {
        auto low = S::load(values), high = S::load(values + S::lanes);
        finisher->finish(*args, n, y, x + i, c, low, high);
        put<S>(args->out.template at<Scalar>(n, y, x + i) + c, low, high, args->out.streamed);
    }

    const Finisher<S>* finisher;
    const Args* args;
    int n, y, x, c;
};

template <class S>
class Convolution3x3 final : public Op {
public:
    Convolution3x3(const Convolution& conv, const Finish& finish)
        : activation_(finish.activation),
          finisher_(finish, conv.out),
          conv_(conv, round_up(conv.out, kChannelMultiple),
                [&](int j) { return j < conv.out ? j : -1; }) {}

    int blocks(const Args& args) const override { return conv_.blocks(args.x); }
    std::size_t scratch(const Args&) const override { return conv_.scratch(); }

    void run(int block, const Args& args, std::byte* scratch) const override {
        if (finisher_.scaled() || args.additions > 1) {
            return into<PutAny<S>>(block, args, scratch);
        }
        switch (activation_) {
            case Activation::none:
                return with<Activation::none>(block, args, scratch);
            case Activation::slopes:
                return with<Activation::slopes>(block, args, scratch);
            case Activation::silu:
                return with<Activation::silu>(block, args, scratch);
            default:
                return into<PutAny<S>>(block, args, scratch);
        }
    }

private:
    template <Activation activation>
    void with(int block, const Args& args, std::byte* scratch) const {
        if (args.additions) {
            into<PutOf<S, activation, true>>(block, args, scratch);
        } else {
            into<PutOf<S, activation, false>>(block, args, scratch);
        }
    }
    template <class Put>
    void into(int block, const Args& args, std::byte* scratch) const {
        conv_.run(block, args.x, scratch, [&](int n, int y, int x, int channel) {
            return Put::at(finisher_, args, n, y, x, channel);
        });
    }

    Activation activation_;
    Finisher<S> finisher_;
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
