// Feature maps in memory, and the operators' view of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "force_inline.h"

namespace imagen_fast::cpu {

// Channels are padded with zeros to a multiple of this, so that neither vectors nor a tile
// product's sum end in the middle of a pixel, and no kernel has a tail.
constexpr int kChannelMultiple = 32;

IMAGEN_INLINE constexpr int round_up(int value, int multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

// (N, H, W, C) with a border of zeros: one pixel before, four after (one for convolutions, three
// more because the last Winograd tile of a side may reach beyond it). Kernels write the inside only,
// all channels of it, so the border is cleared once a plan. Elements are the kernel set's: float, or
// bfloat16 as uint16. A plane may be some of the channels of a wider one; what lies beyond its own
// is then read as well, and multiplied by zero.
struct Plane {
    static constexpr int kBefore = 1, kAfter = 4, kAfterLast = 32;

    void* data = nullptr;
    int images = 0, height = 0, width = 0, channels = 0;  // channels: padded
    int pixel = 0;  // elements from one pixel to the next, at least `channels`
    bool streamed = false;  // written past the caches
    // Of a part of a plane: pixels from one row to the next, rows from one image to the next.
    int line = 0, lines = 0;
    int above = 0, below = 0, left = 0, right = 0;  // of the plane's pixels, around the part
    int inner = 0;  // of a chain of steps: which of its buffers it stands for, from 1 on

    IMAGEN_INLINE constexpr std::ptrdiff_t row() const {
        return static_cast<std::ptrdiff_t>(line ? line : width + kBefore + kAfter) * pixel;
    }
    // Whether its channels are all that a pixel has.
    IMAGEN_INLINE bool whole() const { return pixel == channels; }
    IMAGEN_INLINE constexpr std::ptrdiff_t image() const {
        return row() * (lines ? lines : height + kBefore + kAfter);
    }
    // A tile product may read some rows of a matrix beyond the last, for nothing.
    IMAGEN_INLINE constexpr std::ptrdiff_t elements() const {
        return image() * images + kAfterLast * pixel;
    }

    // Pixel (y, x) of image n; -1 and up to four beyond the last are the border.
    template <class Scalar>
    IMAGEN_INLINE Scalar* at(int n, int y, int x) const {
        return static_cast<Scalar*>(data) + n * image() + (y + kBefore) * row() +
               static_cast<std::ptrdiff_t>(x + kBefore) * pixel;
    }
    // Asks the caches for pixels from (y, x) on.
    template <class Scalar>
    IMAGEN_INLINE void prefetch(int n, int y, int x, int rows, int columns) const {
        for (int i = 0; i < rows; ++i) {
            const Scalar* from = at<Scalar>(n, y + i, x);
            for (int j = 0; j < columns; ++j, from += pixel) {
                for (int c = 0; c < channels; c += 64 / static_cast<int>(sizeof(Scalar))) {
                    IMAGEN_PREFETCH(from + c);
                }
            }
        }
    }
};

// Its pixels without `margin` of them on each side; these are then its border. `element`: as below.
Plane inside(const Plane&, int margin, std::size_t element);

// Zeros around each image of a whole plane. `element`: bytes of an element.
void clear_border(const Plane&, std::size_t element);

}  // namespace imagen_fast::cpu
