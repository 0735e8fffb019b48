// Samples into a plane and out of it: what stem and head are to pictures.
#pragma once

#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class RowsIn final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    explicit RowsIn(int channels) : channels_(channels) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        if (args.bytes) {
            read(n, y, args, static_cast<const std::uint8_t*>(args.image));
        } else {
            read(n, y, args, static_cast<const float*>(args.image));
        }
    }

private:
    template <class Sample>
    void read(int n, int y, const Args& args, const Sample* image) const {
        const int w = args.out.width;
        Scalar* out = args.out.at<Scalar>(n, y, 0);
        const Sample* in = image + (std::ptrdiff_t{n} * args.out.height + y) * w * channels_;
        for (int x = 0; x < w; ++x, out += args.out.pixel, in += channels_) {
            for (int c = 0; c < args.out.channels; c += S::lanes) {
                const int left = channels_ - c, some = left < S::lanes ? left : S::lanes;
                S::store(out + c, some > 0 ? load_samples<S>(in + c, some) : S::zero());
            }
        }
    }

    int channels_;
};

// Block: one row of one image.
template <class S>
class RowsOut final : public Op {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    RowsOut(int channels, bool clamped) : channels_(channels), clamped_(clamped) {}

    int blocks(const Args& args) const override { return args.x.images * args.x.height; }
    void run(int block, const Args& args, std::byte*) const override {
        if (args.bytes) {
            write(block, args, static_cast<std::uint8_t*>(args.picture));
        } else {
            write(block, args, static_cast<float*>(args.picture));
        }
    }

private:
    template <class Sample>
    void write(int block, const Args& args, Sample* picture) const {
        const int w = args.x.width;
        const Scalar* in = args.x.at<Scalar>(block / args.x.height, block % args.x.height, 0);
        Sample* out = picture + std::ptrdiff_t{block} * w * channels_;
        float bad = 0;  // 0 · v is 0 unless v is infinite or NaN
        for (int x = 0; x < w; ++x, in += args.x.pixel, out += channels_) {
            for (int c = 0; c < channels_; c += S::lanes) {
                const int left = channels_ - c, some = left < S::lanes ? left : S::lanes;
                alignas(64) float values[S::lanes];
                Vec v = S::load(in + c);
                S::store(values, v);
                for (int i = 0; i < some; ++i) {
                    bad += 0 * values[i];
                }
                if (clamped_) {
                    v = S::min(S::set(1.0f), S::max(S::zero(), v));
                }
                store_samples<S>(out + c, v, some);
            }
        }
        if (bad != 0) {  // true for NaN
            args.not_finite->store(true, std::memory_order_relaxed);
        }
    }

    int channels_;
    bool clamped_;
};

}  // namespace imagen_fast::cpu
