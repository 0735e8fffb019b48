// Sums and products of planes, element by element.
#pragma once

#include "finish.h"
#include "gemm.h"
#include "op.h"
#include "reduce.h"

namespace imagen_fast::cpu {

// out = combine(x, added…); block: one row of one image.
template <class S>
class Elementwise : public Op {
public:
    int blocks(const Args& args) const override { return args.out.images * args.out.height; }

protected:
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

    // combine(c, low, high, added) changes two vectors of channels from c on; added(i, low, high)
    // gives those of the i-th plane that is added.
    template <class Combine>
    static void row(int block, const Args& args, Combine combine) {
        const int n = block / args.out.height, y = block % args.out.height;
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
    void run(int block, const Args& args, Join join, End end) const {
        const int n = block / args.out.height, y = block % args.out.height;
        for (int x = 0; x < args.out.width; ++x) {
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low = S::zero(), high = S::zero();
                for (int i = 0; i <= args.additions; ++i) {
                    const Scalar* p = at(i, i ? args.added[i - 1] : args.x, n, y, x);
                    const Vec a = one(i, p, c), b = one(i, p, c + S::lanes);
                    low = i ? join(i, low, a) : a;
                    high = i ? join(i, high, b) : b;
                }
                end(c, low, high);
                low = Channels<S>::kept(low, channels_ - c);
                high = Channels<S>::kept(high, channels_ - c - S::lanes);
                put<S>(out + c, low, high, args.out.streamed);
            }
        }
    }

private:
    const Scalar* at(int i, const Plane& plane, int n, int y, int x) const {
        const bool pixel = how_.one_pixel >> i & 1;
        return plane.at<Scalar>(n, pixel ? 0 : y, pixel ? 0 : x);
    }
    Vec one(int i, const Scalar* p, int c) const {
        if (how_.one_channel >> i & 1) {
            alignas(64) float values[S::lanes];
            S::store(values, S::load(p));
            return S::set(values[0]);
        }
        return S::load(p + c);
    }

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

    void run(int block, const Args& args, std::byte*) const override {
        if (!how_.nothing() || finisher_.activation() > Activation::gelu) {
            broadcast_.run(
                block, args,
                [&](int i, Vec a, Vec b) {
                    return i > args.additions - how_.minus ? S::sub(a, b) : S::add(a, b);
                },
                [&](int c, Vec& low, Vec& high) { finisher_.act(c, low, high); });
            return;
        }
        this->row(block, args, [&](int c, Vec& low, Vec& high, const auto& added) {
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

    void run(int block, const Args& args, std::byte*) const override {
        if (!how_.nothing()) {
            broadcast_.run(
                block, args, [](int, Vec a, Vec b) { return S::mul(a, b); },
                [](int, Vec&, Vec&) {});
            return;
        }
        this->row(block, args, [&](int, Vec& low, Vec& high, const auto& added) {
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
