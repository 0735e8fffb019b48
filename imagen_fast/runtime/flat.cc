#include "flat.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "in_parts.h"
#include "surrounded.h"
#include "typed.h"

namespace imagen_fast {

namespace {

constexpr int kReach = 8;  // pixels

template <class T>
bool equal(const T* a, const T* b) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

template <class T>
void keep(const Shape& shape, const T* in, T* out, int threads) {
    const int height = shape.height, width = shape.width;
    const std::ptrdiff_t row = std::ptrdiff_t{3} * width;
    const int parts = parts_of(height, static_cast<std::size_t>(height) * width, threads);
    std::vector<Surrounded> surrounded(parts, Surrounded(height, width, kReach - 1));
    for (int n = 0; n < shape.images; ++n, in += row * height, out += row * height) {
        const auto like_its_neighbours = [&](int y, int x) {
            const T* here = in + row * y + 3 * x;
            return (x == 0 || equal(here, here - 3)) && (x == width - 1 || equal(here, here + 3)) &&
                   (y == 0 || equal(here, here - row)) &&
                   (y == height - 1 || equal(here, here + row));
        };
        in_parts(height, parts, [&](int part, int from, int to) {
            surrounded[static_cast<std::size_t>(part)].visit(
                from, to, like_its_neighbours, [&](int y, int x) {
                    std::copy_n(in + row * y + 3 * x, 3, out + row * y + 3 * x);
                });
        });
    }
}

}  // namespace

void keep_flat(const Shape& shape, const void* in, void* out, bool bytes, int threads) {
    typed(in, out, bytes, [&](auto* from, auto* to) { keep(shape, from, to, threads); });
}

}  // namespace imagen_fast
