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
        conv_.run(block, args.x, scratch,
                  [&](int n, int y, int x, int count, int channel, int channels,
                      const float* values, int stride) {
                      put(args, n, y, x, count, channel, channels, values, stride, bad);
                  });
        if (S::sum(bad) != 0.0f) {  // true for NaN
            args.not_finite->store(true, std::memory_order_relaxed);
        }
    }

private:
    IMAGEN_INLINE void put(const Args& args, int n, int y, int x, int count, int channel,
                           int channels, const float* values, int stride, Vec& bad) const {
        const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(n) * args.x.height + y;
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(args.x.width) * across_;
        const std::ptrdiff_t pixel = (line * args.x.width + x) * image_channels_;
        const int all = scale_ * padded_, end = channel + channels < all ? channel + channels : all;
        for (int j = channel; j < end; j += S::lanes, values += S::lanes) {
            const int dy = j / padded_, from = j % padded_, left = across_ - from;
            const int samples = left < S::lanes ? left : S::lanes;
            const std::ptrdiff_t to = (line * scale_ + dy) * row + x * across_ + from;
            const auto* channel_of = static_cast<const std::int32_t*>(channel_.data()) + from;
            for (int i = 0; i < count; ++i) {
                Vec v = S::load(values + i * stride);
                if (args.image) {
                    const Vec few =
                        load_samples<S>(args, pixel + i * image_channels_, image_channels_);
                    v = S::add(v, S::pick(few, channel_of));
                }
                bad = S::fma(v, S::zero(), bad);
                v = S::min(S::set(1.0f), S::max(S::zero(), v));
                store_samples<S>(args, to + i * across_, v, samples);
            }
        }
    }

    int scale_, image_channels_, across_, padded_;  // across: samples of a pixel's row of outputs
    Buffer channel_;  // of the picture, for each sample across
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
