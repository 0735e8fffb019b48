// Rows of numbers into a plane and out of it: what stem and head are to pictures.
#pragma once

#include "op.h"

namespace imagen_fast::cpu {

// Block: one row of one image.
template <class S>
class RowsIn final : public Op {
public:
    explicit RowsIn(int channels) : channels_(channels) {}

    int blocks(const Args& args) const override { return args.out.images * args.out.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int w = args.out.width;
        auto* out = args.out.at<typename S::Scalar>(block / args.out.height,
                                                    block % args.out.height, 0);
        const float* in =
            static_cast<const float*>(args.image) + std::ptrdiff_t{block} * w * channels_;
        for (int x = 0; x < w; ++x, out += args.out.channels, in += channels_) {
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = S::scalar(c < channels_ ? in[c] : 0.0f);
            }
        }
    }

private:
    int channels_;
};

template <class S>
class RowsOut final : public Op {
public:
    explicit RowsOut(int channels) : channels_(channels) {}

    int blocks(const Args& args) const override { return args.x.images * args.x.height; }
    void run(int block, const Args& args, std::byte*) const override {
        const int w = args.x.width;
        const auto* in =
            args.x.at<typename S::Scalar>(block / args.x.height, block % args.x.height, 0);
        float* out = static_cast<float*>(args.picture) + std::ptrdiff_t{block} * w * channels_;
        typename S::Vec bad = S::zero();  // 0 · v is 0 unless v is infinite or NaN
        for (int x = 0; x < w; ++x, in += args.x.channels, out += channels_) {
            for (int c = 0; c < channels_; c += S::lanes) {
                alignas(64) float values[S::lanes];
                const typename S::Vec v = S::load(in + c);
                bad = S::fma(v, S::zero(), bad);
                S::store(values, v);
                for (int i = 0; i < S::lanes && c + i < channels_; ++i) {
                    out[c + i] = values[i];
                }
            }
        }
        if (S::sum(bad) != 0.0f) {  // true for NaN
            args.not_finite->store(true, std::memory_order_relaxed);
        }
    }

private:
    int channels_;
};

}  // namespace imagen_fast::cpu
