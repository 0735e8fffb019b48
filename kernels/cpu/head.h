// Features to a picture: clamp(repeat(image) + pixel_shuffle(conv3x3(x) + b)), as bytes or floats;
// without an image, from zero.
#pragma once

#include <cstring>

#include "conv3x3.h"
#include "op.h"
#include "picture.h"

namespace imagen_fast::cpu {

template <class S>
class Head final : public Op {
public:
    // Output channels are reordered from (c, dy, dx) to (dy, dx, c): the order in the picture.
    Head(const Convolution& conv, int scale, int image_channels)
        : scale_(scale),
          image_channels_(image_channels),
          conv_(conv, conv.out, [=](int j) {
              const int c = j % image_channels, place = j / image_channels;
              return c * scale * scale + place;
          }) {}

    int blocks(const Args& args) const override { return conv_.blocks(args.x); }
    std::size_t scratch(const Args&) const override { return conv_.scratch(); }

    void run(int block, const Args& args, std::byte* scratch) const override {
        typename S::Vec bad = S::zero();  // 0 · v is 0 unless v is infinite or NaN
        conv_.run(block, args.x, scratch,
                  [&](int n, int y, int x, int count, const float* values, int stride) {
                      for (int i = 0; i < count; ++i) {
                          put(args, n, y, x + i, values + i * stride, bad);
                      }
                  });
        if (S::sum(bad) != 0.0f) {  // true for NaN
            args.not_finite->store(true, std::memory_order_relaxed);
        }
    }

private:
    static constexpr int kMost = 64;  // 4 channels at scale 4, a whole number of vectors

    IMAGEN_INLINE void put(const Args& args, int n, int y, int x, const float* values,
                           typename S::Vec& bad) const {
        const int h = args.x.height, w = args.x.width;
        const int across = scale_ * image_channels_, total = scale_ * across;
        const std::ptrdiff_t pixel = (static_cast<std::ptrdiff_t>(n) * h + y) * w + x;
        alignas(64) float base[kMost];
        alignas(64) float picture[kMost];
        alignas(64) std::uint8_t bytes[kMost];
        for (int c = 0; c < image_channels_; ++c) {
            const float value = args.image ? sample(args, pixel * image_channels_ + c) : 0.0f;
            for (int j = c; j < total; j += image_channels_) {
                base[j] = value;
            }
        }
        for (int j = total; j % S::lanes; ++j) {
            base[j] = 0.0f;
        }
        for (int j = 0; j < total; j += S::lanes) {
            typename S::Vec v = S::add(S::load(values + j), S::load(base + j));
            bad = S::fma(v, S::zero(), bad);
            v = S::min(S::set(1.0f), S::max(S::zero(), v));
            if (args.bytes) {
                S::store_bytes(bytes + j, S::mul(v, S::set(255.0f)));
            } else {
                S::store(picture + j, v);
            }
        }
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(w) * across;
        const std::ptrdiff_t first =
            (static_cast<std::ptrdiff_t>(n) * h + y) * scale_ * row + x * across;
        for (int dy = 0; dy < scale_; ++dy) {
            if (args.bytes) {
                std::memcpy(static_cast<std::uint8_t*>(args.picture) + first + dy * row,
                            bytes + dy * across, across);
            } else {
                std::memcpy(static_cast<float*>(args.picture) + first + dy * row,
                            picture + dy * across, across * sizeof(float));
            }
        }
    }

    int scale_, image_channels_;
    Conv3x3<S> conv_;
};

}  // namespace imagen_fast::cpu
