// Sums and products of planes, element by element.
#pragma once

#include "finish.h"
#include "gemm.h"
#include "op.h"

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
        for (int x = 0; x < args.out.width; ++x) {
            const Scalar* in = args.x.at<Scalar>(n, y, x);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec low = S::load(in + c), high = S::load(in + c + S::lanes);
                const auto added = [&](int i, Vec& a, Vec& b) {
                    const Scalar* p = args.added[i].template at<Scalar>(n, y, x) + c;
                    a = S::load(p);
                    b = S::load(p + S::lanes);
                };
                combine(c, low, high, added);
                put<S>(out + c, low, high, args.out.streamed);
            }
        }
    }
};

// scale · activation(x + added…) + offset
template <class S>
class Sum final : public Elementwise<S> {
    using Vec = typename S::Vec;

public:
    Sum(int channels, const Finish& finish) : finisher_(finish, channels) {}

    void run(int block, const Args& args, std::byte*) const override {
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
    Finisher<S> finisher_;
};

// x · added…
template <class S>
class Product final : public Elementwise<S> {
    using Vec = typename S::Vec;

public:
    void run(int block, const Args& args, std::byte*) const override {
        this->row(block, args, [&](int, Vec& low, Vec& high, const auto& added) {
            for (int i = 0; i < args.additions; ++i) {
                Vec a, b;
                added(i, a, b);
                low = S::mul(low, a);
                high = S::mul(high, b);
            }
        });
    }
};

}  // namespace imagen_fast::cpu
