// Pictures in someone else's memory, with any distance between pixels, rows and pictures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace imagen_fast {

// (N, H, W, C) of uint8 or float, samples of a pixel side by side. Strides are bytes.
struct View {
    std::byte* data = nullptr;
    bool bytes = false;  // uint8, else float
    int channels = 0;
    std::int64_t images = 0, height = 0, width = 0;
    std::int64_t pixel_stride = 0, row_stride = 0, image_stride = 0;

    std::int64_t pixel_bytes() const { return channels * (bytes ? 1 : 4); }
    std::int64_t packed_bytes() const { return images * height * width * pixel_bytes(); }
    std::byte* at(std::int64_t image, std::int64_t y, std::int64_t x) const {
        return data + image * image_stride + y * row_stride + x * pixel_stride;
    }
    // Whether nothing lies between pixels, rows and pictures.
    bool packed() const;
};

// Whether all floats lie between these bounds, NaN nowhere.
bool within(const View&, float low, float high);

// Copies rows [top, bottom) and columns [left, right) of a picture to `out`, without gaps.
void cut_out(const View&, std::int64_t image, std::int64_t top, std::int64_t bottom,
             std::int64_t left, std::int64_t right, std::byte* out);

// Copies `count` pixels without gaps to where pixel x of row y begins.
void put(const View&, std::int64_t image, std::int64_t y, std::int64_t x, const std::byte* pixels,
         std::int64_t count);

// Copies all pictures of a view to `out`, without gaps.
void pack(const View&, std::byte* out);

// Copies pixels without gaps (N, H, W, C) into all pictures of a view.
void fill(const View&, const std::byte* pixels);

}  // namespace imagen_fast
