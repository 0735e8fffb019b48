// Features to a picture, repeat(image) + pixel_shuffle(conv3x3(x) + b), and its gradients.
#pragma once

#include "../cpu/picture.h"
#include "ahead.h"
#include "conv3x3.h"
#include "for_pairs.h"

namespace imagen_fast::cpu {

// Output channels are reordered from (c, dy, dx) to (dy, dx, c): a pixel's row of the picture, `across`
// samples, is part of what it computes.
template <class S>
struct HeadShape {
    int scale, image_channels, across, out;
    Buffer order;

    HeadShape(int scale, int image_channels)
        : scale(scale),
          image_channels(image_channels),
          across(scale * image_channels),
          out(scale * across),
          order(sizeof(int) * out) {
        for (int j = 0; j < out; ++j) {
            const int dy = j / across, dx = j % across / image_channels;
            static_cast<int*>(order.data())[j] =
                (j % image_channels * scale + dy) * scale + dx;
        }
    }
    Conv3x3Weights of(Conv3x3Weights w) const {
        w.order = static_cast<const int*>(order.data());
        return w;
    }
    // How many of the samples across from j on fill a vector.
    IMAGEN_INLINE int vector(int j) const {
        return across - j < S::lanes ? across - j : S::lanes;
    }
    // Where row dy of the samples begins that a pixel becomes, whose row is counted through all
    // images.
    IMAGEN_INLINE std::ptrdiff_t at(int width, int line, int x, int dy) const {
        return ((static_cast<std::ptrdiff_t>(line) * scale + dy) * width + x) * across;
    }
};

template <class S>
class TrainedHead final : public Op {
    using Vec = typename S::Vec;

public:
    TrainedHead(const Conv3x3Weights& w, int scale, int image_channels)
        : shape_(scale, image_channels),
          channel_of_(sizeof(std::int32_t) * round_up(shape_.across, S::lanes)),
          sums_(shape_.of(w)) {
        for (int j = 0; j < round_up(shape_.across, S::lanes); ++j) {
            static_cast<std::int32_t*>(channel_of_.data())[j] = j % image_channels;
        }
    }

    int blocks(const Args& args) const override { return args.x.images; }
    std::size_t scratch(const Args& args) const override { return sums_.scratch(args.x); }

    // Block: one image.
    void run(int block, const Args& args, std::byte* scratch) const override {
        sums_.run(block, args.x, scratch, [&](int line, int x, const float* sums) {
            finish(args, line, x, sums);
        });
    }

private:
    IMAGEN_INLINE void finish(const Args& args, int line, int x, const float* sums) const {
        const std::ptrdiff_t pixel = static_cast<std::ptrdiff_t>(line) * args.x.width + x;
        const auto* channel_of = static_cast<const std::int32_t*>(channel_of_.data());
        Vec base = S::zero();
        if (args.image) {
            const auto* image = static_cast<const float*>(args.image);
            base = load_samples<S>(image + pixel * shape_.image_channels, shape_.image_channels);
        }
        for (int j = 0; j < shape_.across; j += S::lanes) {
            const int samples = shape_.vector(j);
            const Vec repeated = S::pick(base, channel_of + j);
            for (int dy = 0; dy < shape_.scale; ++dy) {
                const Vec v = S::load_some(sums + dy * shape_.across + j, samples);
                S::store_some(static_cast<float*>(args.picture) +
                                  shape_.at(args.x.width, line, x, dy) + j,
                              S::add(v, repeated), samples);
            }
        }
    }

    HeadShape<S> shape_;
    Buffer channel_of_;  // of the picture, for each sample across
    Conv3x3Sums<S> sums_;
};

template <class S>
class HeadGradient final : public GradientOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    HeadGradient(const Conv3x3Weights& w, int scale, int image_channels)
        : shape_(scale, image_channels), in_(w.in), gradient_(shape_.of(w)) {}

    int blocks(const GradientArgs& args) const override { return args.x.images; }
    std::size_t scratch(const GradientArgs& args) const override {
        return gradient_.scratch(args.x);
    }
    std::ptrdiff_t sums() const override { return gradient_.sums(); }
    // weight (out, 3, 3, in), bias
    void collect(const float* sums, float* const* gradients) const override {
        gradient_.collect(sums, gradients[0], gradients[1]);
    }

    // Block: one image.
    void run(int block, const GradientArgs& args, std::byte* scratch, float* sums) const override {
        gradient_.run(
            block, args.x, scratch, sums,
            [&](int y, Scalar* out, int pixel, float* bias) {
                const std::ptrdiff_t down = shape_.at(args.x.width, 0, 0, 1);
                const float* from = args.picture_gradient +
                                    shape_.at(args.x.width, block * args.x.height + y, 0, 0);
                for (int i = 0; i < args.x.width; ++i) {
                    read(from + i * shape_.across, down, out + i * pixel);
                }
                sum(from, down, args.x.width, bias);
            },
            [&](int line, int x, const float* products) {
                const std::ptrdiff_t at = pixel(args.x, line, x);
                const int band = kReadAhead / args.x.width;
                for (int dy = 0; dy < shape_.scale; ++dy) {
                    IMAGEN_PREFETCH_FAR(args.picture_gradient +
                                        shape_.at(args.x.width, line + band, x, dy));
                }
                ask_ahead(args.x.at<Scalar>(0, 0, 0) + at, in_, kReadAhead);
                ask_ahead(args.x_gradient.at<Scalar>(0, 0, 0) + at, in_, kWrittenAhead);
                Scalar* out = args.x_gradient.at<Scalar>(0, 0, 0) + at;
                for_pairs<S>(
                    in_,
                    [&](int i) {
                        S::store(out + i, S::load(products + i), S::load(products + i + S::lanes));
                    },
                    [&](int i) { S::store(out + i, S::load(products + i)); });
            });
    }

private:
    // A pixel's samples. Zeros are stored beyond each row's, where the next row's or the next pixel's
    // come, or nothing is.
    IMAGEN_INLINE void read(const float* from, std::ptrdiff_t down, Scalar* out) const {
        for (int dy = 0; dy < shape_.scale; ++dy, from += down, out += shape_.across) {
            for (int j = 0; j < shape_.across; j += S::lanes) {
                S::store(out + j, S::load_some(from + j, shape_.vector(j)));
            }
        }
    }
    // Adds a row's pixels.
    IMAGEN_INLINE void sum(const float* from, std::ptrdiff_t down, int pixels, float* bias) const {
        for (int dy = 0; dy < shape_.scale; ++dy, from += down, bias += shape_.across) {
            for (int j = 0; j < shape_.across; j += S::lanes) {
                const int samples = shape_.vector(j);
                Vec all = S::load_some(bias + j, samples);
                for (int i = 0; i < pixels; ++i) {
                    all = S::add(all, S::load_some(from + i * shape_.across + j, samples));
                }
                S::store_some(bias + j, all, samples);
            }
        }
    }

    HeadShape<S> shape_;
    int in_;
    Conv3x3Gradient<S> gradient_;
};

}  // namespace imagen_fast::cpu
