// Features to a picture: clamp(repeat(image) + pixel_shuffle(conv3x3(x) + b)), as bytes or floats;
// without an image, from zero.
#pragma once

#include "conv3x3.h"
#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class Head final : public Op {
    using Vec = typename S::Vec;

public:
    // Output channels are reordered from (c, dy, dx) to (dy, dx, c), the order in the picture, and
    // every row dy is padded to whole vectors.
    Head(const Convolution& conv, int scale, int image_channels)
        : scale_(scale),
          image_channels_(image_channels),
          across_(scale * image_channels),
          padded_(round_up(across_, S::lanes)),
          channel_(padded_ * sizeof(std::int32_t)),
          conv_(conv, scale * padded_, [&](int j) {
              const int dy = j / padded_, dx = j % padded_ / image_channels;
              return dx < scale ? (j % padded_ % image_channels * scale + dy) * scale + dx : -1;
          }) {
        for (int j = 0; j < padded_; ++j) {
            static_cast<std::int32_t*>(channel_.data())[j] = j % image_channels;
        }
    }

    int blocks(const Args& args) const override { return conv_.blocks(args.x); }
    std::size_t scratch(const Args&) const override { return conv_.scratch(); }

    void run(int block, const Args& args, std::byte* scratch) const override {
        Vec bad = S::zero();  // 0 · v is 0 unless v is infinite or NaN
        if (args.bytes) {
            conv_.run(block, args.x, scratch, Sink<std::uint8_t>{*this, args, bad});
        } else {
            conv_.run(block, args.x, scratch, Sink<float>{*this, args, bad});
        }
        if (S::sum(bad) != 0.0f) {  // true for NaN
            args.not_finite->store(true, std::memory_order_relaxed);
        }
    }

private:
    template <class Sample>
    struct Put {
        static constexpr int vectors = 1;
        const Sample* image;  // of the first pixel, or null
        Sample* picture;
        const std::int32_t* channel_of;
        int image_channels, across, samples;  // samples: of this vector, others are padding
        int width, scale;
        Vec& bad;

        IMAGEN_INLINE void down() {
            image = image ? image + static_cast<std::ptrdiff_t>(width) * image_channels : nullptr;
            picture += static_cast<std::ptrdiff_t>(width) * across * scale;
        }

        IMAGEN_INLINE void operator()(int i, const float* values) const {
            Vec v = S::load(values);
            if (image) {
                const Vec pixel = load_samples<S>(image + i * image_channels, image_channels);
                v = S::add(v, S::pick(pixel, channel_of));
            }
            bad = S::fma(v, S::zero(), bad);
            v = S::min(S::set(1.0f), S::max(S::zero(), v));
            store_samples<S>(picture + i * across, v, samples);
        }
    };

    template <class Sample>
    struct Sink {
        const Head& head;
        const Args& args;
        Vec& bad;

        IMAGEN_INLINE void prefetch(int, int, int, int, int) const {}
        IMAGEN_INLINE Put<Sample> operator()(int n, int y, int x, int channel) const {
            const int dy = channel / head.padded_, from = channel % head.padded_;
            const int left = dy < head.scale_ ? head.across_ - from : 0;
            const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(n) * args.x.height + y;
            const std::ptrdiff_t pixel = line * args.x.width + x;
            const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(args.x.width) * head.across_;
            return {args.image ? static_cast<const Sample*>(args.image) +
                                     pixel * head.image_channels_
                               : nullptr,
                    static_cast<Sample*>(args.picture) + (line * head.scale_ + dy) * row +
                        x * head.across_ + from,
                    static_cast<const std::int32_t*>(head.channel_.data()) + from,
                    head.image_channels_,
                    head.across_,
                    left < S::lanes ? left : S::lanes,
                    args.x.width,
                    head.scale_,
                    bad};
        }
    };

    int scale_, image_channels_, across_, padded_;  // across: samples of a pixel's row of outputs
    Buffer channel_;  // of the picture, for each sample across
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
