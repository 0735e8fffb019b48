#include "neutral.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace imagen_fast {

namespace {

constexpr int kReach = 2;  // input pixels

std::uint8_t mean(std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    return static_cast<std::uint8_t>((r + g + b + 1) / 3);
}
float mean(float r, float g, float b) { return (r + g + b) / 3.0f; }

template <class T>
bool is_neutral(const T* pixel) {
    return pixel[0] == pixel[1] && pixel[1] == pixel[2];
}

// Of each pixel of a picture, whether all up to kReach beside it in its row are neutral.
template <class T>
void mark(int height, int width, const T* in, std::vector<std::uint8_t>& marks) {
    for (int y = 0; y < height; ++y) {
        const T* row = in + std::size_t{3} * y * width;
        int since = kReach;  // neutral pixels in a row so far; those beyond the border count
        for (int x = 0; x < width + kReach; ++x) {
            since = x >= width || is_neutral(row + 3 * x) ? since + 1 : 0;
            if (x >= kReach) {
                marks[static_cast<std::size_t>(y) * width + x - kReach] = since > 2 * kReach;
            }
        }
    }
}

template <class T>
void average(int scale, std::size_t row, T* out) {
    for (int y = 0; y < scale; ++y, out += row) {
        for (T* pixel = out; pixel < out + 3 * scale; pixel += 3) {
            pixel[0] = pixel[1] = pixel[2] = mean(pixel[0], pixel[1], pixel[2]);
        }
    }
}

template <class T>
void keep(const Shape& shape, int scale, const T* in, T* out) {
    const int height = shape.height, width = shape.width;
    const std::size_t pixels = static_cast<std::size_t>(height) * width;
    const std::size_t row = std::size_t{3} * scale * width;
    std::vector<std::uint8_t> marks(pixels);
    for (int n = 0; n < shape.images; ++n, in += 3 * pixels, out += row * scale * height) {
        mark(height, width, in, marks);
        for (int y = 0; y < height; ++y) {
            const int top = std::max(y - kReach, 0), bottom = std::min(y + kReach, height - 1);
            for (int x = 0; x < width; ++x) {
                bool all = true;
                for (int line = top; line <= bottom && all; ++line) {
                    all = marks[static_cast<std::size_t>(line) * width + x];
                }
                if (all) {
                    average(scale, row, out + row * scale * y + std::size_t{3} * scale * x);
                }
            }
        }
    }
}

}  // namespace

void keep_neutral(const Shape& shape, int scale, const void* in, void* out, bool bytes) {
    if (bytes) {
        keep(shape, scale, static_cast<const std::uint8_t*>(in), static_cast<std::uint8_t*>(out));
    } else {
        keep(shape, scale, static_cast<const float*>(in), static_cast<float*>(out));
    }
}

}  // namespace imagen_fast
