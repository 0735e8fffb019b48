#include "neutral.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "in_parts.h"
#include "surrounded.h"
#include "typed.h"

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

template <class T>
void average(int scale, std::size_t row, T* out) {
    for (int y = 0; y < scale; ++y, out += row) {
        for (T* pixel = out; pixel < out + 3 * scale; pixel += 3) {
            pixel[0] = pixel[1] = pixel[2] = mean(pixel[0], pixel[1], pixel[2]);
        }
    }
}

template <class T>
void keep(const Shape& shape, int scale, const T* in, T* out, int threads) {
    const int height = shape.height, width = shape.width;
    const std::size_t pixels = static_cast<std::size_t>(height) * width;
    const std::size_t row = std::size_t{3} * scale * width;
    const int parts = parts_of(height, pixels, threads);
    std::vector<Surrounded> surrounded(parts, Surrounded(height, width, kReach));
    for (int n = 0; n < shape.images; ++n, in += 3 * pixels, out += row * scale * height) {
        in_parts(height, parts, [&](int part, int from, int to) {
            surrounded[static_cast<std::size_t>(part)].visit(
                from, to,
                [&](int y, int x) {
                    return is_neutral(in + 3 * (static_cast<std::size_t>(y) * width + x));
                },
                [&](int y, int x) {
                    average(scale, row, out + row * scale * y + std::size_t{3} * scale * x);
                });
        });
    }
}

}  // namespace

void keep_neutral(const Shape& shape, int scale, const void* in, void* out, bool bytes,
                  int threads) {
    typed(in, out, bytes, [&](auto* from, auto* to) { keep(shape, scale, from, to, threads); });
}

}  // namespace imagen_fast
