// 3×3 convolution of a plane, and what follows it.
#pragma once

#include "conv3x3.h"
#include "finish.h"
#include "op.h"

namespace imagen_fast::cpu {

// The common cases: an activation, then at most one plane is added; or the sum with one plane, times
// an activation of it.
enum class Rest { none, added, gate };

// `at_once` vectors of a pixel's channels at a time: two, but for one where a pair's second half would
// be padding that is finished for nothing.
template <class S, Activation activation, Rest rest, int at_once = 2>
struct PutOf {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int vectors = at_once;

    static IMAGEN_INLINE PutOf at(const Finisher<S>& finisher, const Args& args, int n, int y, int x,
                                  int c) {
        const bool adds = rest != Rest::none;
        return {adds ? args.added[0].template at<Scalar>(n, y, x) + c : nullptr,
                args.out.template at<Scalar>(n, y, x) + c,
                finisher.slopes() + c,
                finisher.scale(),
                finisher.offset(),
                adds ? args.added[0].row() : 0,
                args.out.row(),
                args.added[0].pixel,
                args.out.pixel,
                args.out.streamed,
                c + kChannelMultiple == args.out.channels};
    }
    IMAGEN_INLINE void down() {
        added += added_row;
        out += row;
    }
    IMAGEN_INLINE void operator()(int i, const float* values) const {
        const Scalar* from = rest == Rest::none
                                 ? nullptr
                                 : added + static_cast<std::ptrdiff_t>(i) * added_pixel;
        Scalar* to = out + static_cast<std::ptrdiff_t>(i) * pixel;
        const Vec first = one(values, from, slopes);
        if constexpr (vectors == 2) {
            put<S>(to, first,
                   one(values + S::lanes, from ? from + S::lanes : nullptr, slopes + S::lanes),
                   streamed);
        } else if (last) {
            S::store(to, first, S::zero());
        } else {
            S::store(to, first);
        }
    }
    IMAGEN_INLINE Vec one(const float* values, const Scalar* from, const float* slope) const {
        const Vec sum = S::load(values);
        const Vec v = activate<S, activation>(sum, slope);
        if constexpr (rest == Rest::added) {
            return S::add(S::load(from), v);
        } else if constexpr (rest == Rest::gate) {
            return S::mul(S::fma(v, S::set(scale), S::set(offset)), S::add(S::load(from), sum));
        } else {
            return v;
        }
    }

    const Scalar* added;
    Scalar* out;
    const float* slopes;
    float scale, offset;  // of gates
    std::ptrdiff_t added_row, row;
    int added_pixel, pixel;
    bool streamed;
    bool last;  // of the vectors that are not padding, if they are an odd number
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
    IMAGEN_INLINE void down() { ++y; }
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
        if (finisher_.added() == Finish::Added::times_and_sum && args.additions == 1 &&
            activation_ == Activation::sigmoid) {
            return with<Activation::sigmoid, Rest::gate>(block, args, scratch);
        }
        if (finisher_.added() != Finish::Added::added || finisher_.scaled() ||
            args.additions > 1) {
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
            with<activation, Rest::added>(block, args, scratch);
        } else {
            with<activation, Rest::none>(block, args, scratch);
        }
    }
    template <Activation activation, Rest rest>
    void with(int block, const Args& args, std::byte* scratch) const {
        if constexpr (S::direct) {
            if (conv_.panels() % 2) {
                return into<PutOf<S, activation, rest, 1>>(block, args, scratch);
            }
        }
        into<PutOf<S, activation, rest>>(block, args, scratch);
    }
    template <class Put>
    void into(int block, const Args& args, std::byte* scratch) const {
        conv_.run(block, args.x, scratch, Sink<Put>{finisher_, args});
    }
    template <class Put>
    struct Sink {
        const Finisher<S>& finisher;
        const Args& args;

        IMAGEN_INLINE Put operator()(int n, int y, int x, int channel) const {
            return Put::at(finisher, args, n, y, x, channel);
        }
        IMAGEN_INLINE void prefetch(int n, int y, int x, int rows, int columns) const {
            args.prefetch_added<typename S::Scalar>(n, y, x, rows, columns);
        }
    };

    Activation activation_;
    Finisher<S> finisher_;
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
