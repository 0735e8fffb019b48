// Elements of planes in other places: what no product needs, only another order.
#pragma once

#include "buffer.h"
#include "op.h"

namespace imagen_fast::cpu {

// Block: one row of one image of the result, in all three.
template <class S>
class Rearrange final : public Op {
    using Scalar = typename S::Scalar;

public:
    Rearrange(const int* order, int elements) : elements_(elements), order_(elements * sizeof(int)) {
        for (int i = 0; i < elements; ++i) {
            static_cast<int*>(order_.data())[i] = order[i];
        }
    }

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        const int* order = static_cast<const int*>(order_.data());
        for (int x = 0; x < args.out.width; ++x) {
            const Scalar* in = args.x.at<Scalar>(n, y, x);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int i = 0; i < elements_; ++i) {
                out[i] = order[i] < 0 ? Scalar{} : in[order[i]];
            }
        }
    }

private:
    int elements_;
    Buffer order_;
};

// Channel (c, dy, dx) of a pixel → channel c of the pixel at (dy, dx) within factor² pixels.
template <class S>
class PixelShuffle final : public Op {
    using Scalar = typename S::Scalar;

public:
    PixelShuffle(int channels, int factor) : channels_(channels), factor_(factor) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        for (int x = 0; x < args.out.width; ++x) {
            const int place = y % factor_ * factor_ + x % factor_;
            const Scalar* in = args.x.at<Scalar>(n, y / factor_, x / factor_) + place;
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = c < channels_ ? in[c * factor_ * factor_] : Scalar{};
            }
        }
    }

private:
    int channels_, factor_;
};

template <class S>
class Nearest final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit Nearest(int factor) : factor_(factor) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int n = block / args.out.height, y = block % args.out.height;
        for (int x = 0; x < args.out.width; ++x) {
            const Scalar* in = args.x.at<Scalar>(n, y / factor_, x / factor_);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = in[c];
            }
        }
    }

private:
    int factor_;
};

}  // namespace imagen_fast::cpu
