// Sums and products of planes, element by element.
#pragma once

#include "finish.h"
#include "gemm.h"
#include "op.h"
#include "reduce.h"

namespace imagen_fast::cpu {

// out = combine(x, added…)
template <class S>
class Elementwise : public RowOp {
protected:
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

    // combine(c, low, high, added) changes two vectors of channels from c on; added(i, low, high)
    // gives those of the i-th plane that is added.
    template <class Combine>
    static void row(int n, int y, const Args& args, Combine combine) {
        const Scalar* in = args.x.at<Scalar>(n, y, 0);
        Scalar* out = args.out.at<Scalar>(n, y, 0);
        const Scalar* others[kMostAdded];
        for (int i = 0; i < args.additions; ++i) {
            others[i] = args.added[i].template at<Scalar>(n, y, 0);
        }
        for (int x = 0; x < args.out.width; ++x, in += args.x.pixel, out += args.out.pixel) {
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low = S::load(in + c), high = S::load(in + c + S::lanes);
                const auto added = [&](int i, Vec& a, Vec& b) {
                    a = S::load(others[i] + c);
                    b = S::load(others[i] + c + S::lanes);
                };
                combine(c, low, high, added);
                put<S>(out + c, low, high, args.out.streamed);
            }
            for (int i = 0; i < args.additions; ++i) {
                others[i] += args.added[i].pixel;
            }
        }
    }
};

// The same where inputs have one channel or one pixel that counts for all; what pads the channels of
// the result becomes zero, whatever is computed of it.
template <class S>
class BroadcastRow {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    BroadcastRow(const Broadcast& how, int channels) : how_(how), channels_(channels) {}

    // join(place, v, other) on vectors, end(c, low, high) on two of them.
    template <class Join, class End>
    void run(int n, int y, const Args& args, Join join, End end) const {
        Read read[kMostAdded + 1];
        for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
            for (int i = 0; i <= args.additions; ++i) {
                read[i] = Read(i ? args.added[i - 1] : args.x, n, y, c, how_, i);
            }
            Scalar* out = args.out.at<Scalar>(n, y, 0) + c;
            const bool padded = channels_ - c < 2 * S::lanes;
            for (int x = 0; x < args.out.width; ++x, out += args.out.pixel) {
                Vec low, high;
                read[0].next(low, high);
                for (int i = 1; i <= args.additions; ++i) {
                    Vec a, b;
                    read[i].next(a, b);
                    low = join(i, low, a);
                    high = join(i, high, b);
                }
                end(c, low, high);
                if (padded) {
                    low = Channels<S>::kept(low, channels_ - c);
                    high = Channels<S>::kept(high, channels_ - c - S::lanes);
                }
                put<S>(out, low, high, args.out.streamed);
            }
        }
    }

private:
    // An input's channels c and on, pixel by pixel.
    struct Read {
        Read() = default;
        Read(const Plane& plane, int n, int y, int c, const Broadcast& how, int i)
            : one_channel(how.one_channel >> i & 1) {
            const bool one_pixel = how.one_pixel >> i & 1;
            step = one_pixel ? 0 : plane.pixel;
            from = plane.at<Scalar>(n, one_pixel ? 0 : y, 0) + (one_channel ? 0 : c);
        }
        IMAGEN_INLINE void next(Vec& low, Vec& high) {
            if (one_channel) {
                alignas(64) float values[S::lanes];
                S::store(values, S::load(from));
                low = high = S::set(values[0]);
            } else {
                low = S::load(from);
                high = S::load(from + S::lanes);
            }
            from += step;
        }

        const Scalar* from;
        int step;
        bool one_channel;
    };

    Broadcast how_;
    int channels_;
};

// scale · activation(x + added…) + offset
template <class S>
class Sum final : public Elementwise<S> {
    using Vec = typename S::Vec;

public:
    Sum(int channels, const Finish& finish, const Broadcast& how)
        : how_(how), broadcast_(how, channels), finisher_(finish, channels) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        if (!how_.nothing() || finisher_.activation() > Activation::gelu) {
            broadcast_.run(
                n, y, args,
                [&](int i, Vec a, Vec b) {
                    return i > args.additions - how_.minus ? S::sub(a, b) : S::add(a, b);
                },
                [&](int c, Vec& low, Vec& high) { finisher_.act(c, low, high); });
            return;
        }
        this->row(n, y, args, [&](int c, Vec& low, Vec& high, const auto& added) {
            for (int i = 0; i < args.additions; ++i) {
                Vec a, b;
                added(i, a, b);
                low = S::add(low, a);
                high = S::add(high, b);
            }
            finisher_.act(c, low, high);
        });
    }

private:
    Broadcast how_;
    BroadcastRow<S> broadcast_;
    Finisher<S> finisher_;
};

// x · added…
template <class S>
class Product final : public Elementwise<S> {
    using Vec = typename S::Vec;

public:
    Product(int channels, const Broadcast& how) : how_(how), broadcast_(how, channels) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        if (!how_.nothing()) {
            broadcast_.run(
                n, y, args, [](int, Vec a, Vec b) { return S::mul(a, b); },
                [](int, Vec&, Vec&) {});
            return;
        }
        this->row(n, y, args, [&](int, Vec& low, Vec& high, const auto& added) {
            for (int i = 0; i < args.additions; ++i) {
                Vec a, b;
                added(i, a, b);
                low = S::mul(low, a);
                high = S::mul(high, b);
            }
        });
    }

private:
    Broadcast how_;
    BroadcastRow<S> broadcast_;
};

}  // namespace imagen_fast::cpu
