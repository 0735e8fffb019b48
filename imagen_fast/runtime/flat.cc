#include "flat.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace imagen_fast {

namespace {

constexpr int kReach = 8;  // pixels

template <class T>
bool equal(const T* a, const T* b) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

// Of each pixel of a picture, whether it and all less than kReach beside it in its row equal the
// pixels around them.
template <class T>
void mark(int height, int width, const T* in, std::vector<std::uint8_t>& marks) {
    const std::ptrdiff_t row = std::ptrdiff_t{3} * width;
    for (int y = 0; y < height; ++y, in += row) {
        int since = kReach - 1;  // such pixels in a row so far; those beyond the border count
        for (int x = 0; x < width + kReach - 1; ++x) {
            const T* here = in + 3 * x;
            const bool flat = x >= width || ((x == 0 || equal(here, here - 3)) &&
                                             (x == width - 1 || equal(here, here + 3)) &&
                                             (y == 0 || equal(here, here - row)) &&
                                             (y == height - 1 || equal(here, here + row)));
            since = flat ? since + 1 : 0;
            if (x >= kReach - 1) {
                marks[static_cast<std::size_t>(y) * width + x - (kReach - 1)] =
                    since >= 2 * kReach - 1;
            }
        }
    }
}

template <class T>
void keep(const Shape& shape, const T* in, T* out) {
    const int height = shape.height, width = shape.width;
    const std::size_t pixels = static_cast<std::size_t>(height) * width;
    std::vector<std::uint8_t> marks(pixels);
    std::vector<int> since(width);  // marks above each other so far
    for (int n = 0; n < shape.images; ++n, in += 3 * pixels, out += 3 * pixels) {
        mark(height, width, in, marks);
        std::fill(since.begin(), since.end(), kReach - 1);
        for (int y = 0; y < height + kReach - 1; ++y) {
            const std::ptrdiff_t above = static_cast<std::ptrdiff_t>(y - (kReach - 1)) * width;
            for (int x = 0; x < width; ++x) {
                const bool flat = y >= height || marks[static_cast<std::size_t>(y) * width + x];
                since[x] = flat ? since[x] + 1 : 0;
                if (above >= 0 && since[x] >= 2 * kReach - 1) {
                    std::copy_n(in + 3 * (above + x), 3, out + 3 * (above + x));
                }
            }
        }
    }
}

}  // namespace

void keep_flat(const Shape& shape, const void* in, void* out, bool bytes) {
    if (bytes) {
        keep(shape, static_cast<const std::uint8_t*>(in), static_cast<std::uint8_t*>(out));
    } else {
        keep(shape, static_cast<const float*>(in), static_cast<float*>(out));
    }
}

}  // namespace imagen_fast
