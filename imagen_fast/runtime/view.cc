#include "view.h"

#include <cstring>

namespace imagen_fast {

bool View::packed() const {
    return pixel_stride == pixel_bytes() && (height == 1 || row_stride == width * pixel_stride) &&
           (images == 1 || image_stride == height * width * pixel_stride);
}

bool within(const View& view, float low, float high) {
    for (std::int64_t n = 0; !view.bytes && n < view.images; ++n) {
        for (std::int64_t y = 0; y < view.height; ++y) {
            bool inside = true;
            for (std::int64_t x = 0; x < view.width; ++x) {
                const auto* pixel = reinterpret_cast<const float*>(view.at(n, y, x));
                for (int c = 0; c < view.channels; ++c) {
                    inside &= pixel[c] >= low && pixel[c] <= high;  // false for NaN
                }
            }
            if (!inside) {
                return false;
            }
        }
    }
    return true;
}

void cut_out(const View& view, std::int64_t image, std::int64_t top, std::int64_t bottom,
             std::int64_t left, std::int64_t right, std::byte* out) {
    const auto pixel = static_cast<std::size_t>(view.pixel_bytes());
    const auto count = static_cast<std::size_t>(right - left);
    for (std::int64_t y = top; y < bottom; ++y) {
        const std::byte* row = view.at(image, y, left);
        if (view.pixel_stride == view.pixel_bytes()) {
            std::memcpy(out, row, count * pixel);
        } else {
            for (std::size_t x = 0; x < count; ++x) {
                std::memcpy(out + x * pixel, row + static_cast<std::int64_t>(x) * view.pixel_stride,
                            pixel);
            }
        }
        out += count * pixel;
    }
}

void put(const View& view, std::int64_t image, std::int64_t y, std::int64_t x,
         const std::byte* pixels, std::int64_t count) {
    const auto pixel = static_cast<std::size_t>(view.pixel_bytes());
    if (view.pixel_stride == view.pixel_bytes()) {
        std::memcpy(view.at(image, y, x), pixels, count * pixel);
        return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
        std::memcpy(view.at(image, y, x + i), pixels + i * pixel, pixel);
    }
}

void pack(const View& view, std::byte* out) {
    for (std::int64_t n = 0; n < view.images; ++n) {
        cut_out(view, n, 0, view.height, 0, view.width, out);
        out += view.height * view.width * view.pixel_bytes();
    }
}

void fill(const View& view, const std::byte* pixels) {
    for (std::int64_t n = 0; n < view.images; ++n) {
        for (std::int64_t y = 0; y < view.height; ++y) {
            put(view, n, y, 0, pixels, view.width);
            pixels += view.width * view.pixel_bytes();
        }
    }
}

}  // namespace imagen_fast
