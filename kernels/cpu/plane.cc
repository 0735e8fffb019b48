#include "plane.h"

#include <cstring>

namespace imagen_fast::cpu {

Plane inside(const Plane& plane, int margin, std::size_t element) {
    Plane part = plane;
    part.line = static_cast<int>(plane.row() / plane.pixel);
    part.lines = static_cast<int>(plane.image() / plane.row());
    part.height -= 2 * margin;
    part.width -= 2 * margin;
    part.data = static_cast<std::byte*>(plane.data) +
                margin * (plane.row() + plane.pixel) * static_cast<std::ptrdiff_t>(element);
    return part;
}

void clear_border(const Plane& plane, std::size_t element) {
    auto* memory = static_cast<std::byte*>(plane.data);
    const auto zeros = [&](std::ptrdiff_t first, std::ptrdiff_t count) {
        std::memset(memory + first * element, 0, count * element);
    };
    for (int n = 0; n < plane.images; ++n) {
        // What lies between the inside of one row and that of the next is one run.
        const std::ptrdiff_t inside = std::ptrdiff_t{plane.width} * plane.channels;
        std::ptrdiff_t at = n * plane.image();
        const std::ptrdiff_t end = at + plane.image();
        const std::ptrdiff_t first = plane.row() + Plane::kBefore * plane.channels;
        zeros(at, first);
        at += first + inside;
        for (int y = 1; y < plane.height; ++y, at += plane.row()) {
            zeros(at, plane.row() - inside);
        }
        zeros(at, end - at);
    }
}

}  // namespace imagen_fast::cpu
