// Pixels all around which something is so: what within_reach of imagen_fast/image/neutral.py marks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace imagen_fast {

// each(y, x) for every pixel of a picture for which, and for all up to `reach` pixels from it in both
// directions, is(y, x) is true. Beyond the border it is.
template <class Is, class Each>
void for_surrounded(int height, int width, int reach, const Is& is, const Each& each) {
    const int whole = 2 * reach + 1;  // pixels in a row, or below each other
    std::vector<std::uint8_t> across(static_cast<std::size_t>(height) * width);
    for (int y = 0; y < height; ++y) {
        int since = reach;  // how many in a row so far
        for (int x = 0; x < width + reach; ++x) {
            since = x >= width || is(y, x) ? since + 1 : 0;
            if (x >= reach) {
                across[static_cast<std::size_t>(y) * width + x - reach] = since >= whole;
            }
        }
    }
    std::vector<int> since(static_cast<std::size_t>(width), reach);  // below each other so far
    for (int y = 0; y < height + reach; ++y) {
        for (int x = 0; x < width; ++x) {
            const bool marked = y >= height || across[static_cast<std::size_t>(y) * width + x];
            since[x] = marked ? since[x] + 1 : 0;
            if (y >= reach && since[x] >= whole) {
                each(y - reach, x);
            }
        }
    }
}

}  // namespace imagen_fast
