// Rows of a picture one after the other, with one pixel of zeros between them: the border on the right
// of a row and on the left of the next. So a 3×3 convolution is one product of the whole strip, and
// its neighbours are the same strip some pixels further on.
#pragma once

#include <cstddef>

#include "../cpu/gemm.h"
#include "../cpu/plane.h"

namespace imagen_fast::cpu {

constexpr int kBandPixels = 256;  // that a band has, about

// A band of rows of an image, and the rows above and below it. Results are numbered from the first
// pixel of the band on, row by row, `pitch` a row, of which the last is for nothing; result o is
// computed of pixels o + ky · pitch + kx of the strip.
template <class S>
class Strip {
    using Scalar = typename S::Scalar;
    static constexpr int kAfter = 128;  // pixels that products read beyond the last, for nothing

public:
    // memory: elements(), which this clears. channels: a multiple of 16.
    IMAGEN_INLINE Strip(Scalar* memory, int width, int channels, int rows)
        : data_(memory),
          width_(width),
          channels_(channels),
          pixel_(padded(channels)),
          rows_(rows) {
        for (std::ptrdiff_t i = 0; i < elements(width, channels, rows); ++i) {
            memory[i] = 0;
        }
    }
    // Sums of products end with whole tiles, whatever the set, and transpositions with whole vectors.
    static IMAGEN_INLINE constexpr int padded(int channels) {
        return round_up(channels, kChannelMultiple);
    }
    static IMAGEN_INLINE constexpr std::ptrdiff_t elements(int width, int channels, int rows) {
        return static_cast<std::ptrdiff_t>((rows + 2) * (width + 1) + 1 + kAfter) *
               padded(channels);
    }
    // As many rows as have about so many pixels.
    static IMAGEN_INLINE constexpr int rows_of(const Plane& x, int pixels) {
        const int rows = pixels / (x.width + 1);
        return rows < 1 ? 1 : rows < x.height ? rows : x.height;
    }

    IMAGEN_INLINE int pitch() const { return width_ + 1; }
    IMAGEN_INLINE int pixel() const { return pixel_; }  // elements from one to the next
    IMAGEN_INLINE Scalar* at(std::ptrdiff_t i) const { return data_ + i * pixel_; }

    // The band of `rows` rows from `first` on, of an image of `height`. write(y, out) writes row y of
    // it, each once: bands come one below the other from row 0 on, all but the last of as many rows
    // as the strip is for.
    template <class Write>
    IMAGEN_INLINE void load(int first, int rows, int height, const Write& write) const {
        int y = first - 1;
        if (first > 0) {  // the band above had two of the rows
            copy(at(1 + static_cast<std::ptrdiff_t>(rows_) * pitch()), at(1), 2 * pitch() * pixel_);
            y += 2;
        }
        for (; y <= first + rows; ++y) {
            Scalar* out = at(1 + static_cast<std::ptrdiff_t>(y - first + 1) * pitch());
            if (y < 0) {
                continue;  // zeros since the beginning
            }
            if (y < height) {
                write(y, out);
            } else {
                clear(out);
            }
        }
    }
    // The same, of a plane's image.
    IMAGEN_INLINE void load(int first, int rows, const Plane& x, int image) const {
        load(first, rows, x.height, [&](int y, Scalar* out) {
            const Scalar* from = x.at<Scalar>(image, y, 0);
            if (x.pixel == pixel_) {
                copy(from, out, width_ * pixel_);
                return;
            }
            for (int i = 0; i < width_; ++i) {
                copy(from + static_cast<std::ptrdiff_t>(i) * x.pixel, out + i * pixel_, channels_);
            }
        });
    }
    // The band's rows, of which there are so many.
    IMAGEN_INLINE Plane plane(int rows) const {
        Plane plane;
        plane.data = data_;
        plane.images = 1;
        plane.height = rows;
        plane.width = width_;
        plane.channels = plane.pixel = pixel_;
        plane.line = pitch();
        return plane;
    }
    // The neighbours of results from `first` on, as the rows of a product.
    IMAGEN_INLINE Rows<S> neighbours(int first, int count) const {
        Rows<S> rows;
        for (int ky = 0; ky < 3; ++ky) {
            rows.segment[ky] = at(first + static_cast<std::ptrdiff_t>(ky) * pitch());
        }
        rows.segments = 3;
        rows.k = 3 * pixel_;
        rows.stride = pixel_;
        rows.count = count;
        return rows;
    }

private:
    static IMAGEN_INLINE void copy(const Scalar* from, Scalar* to, int elements) {
        for (int i = 0; i < elements; ++i) {
            to[i] = from[i];
        }
    }
    IMAGEN_INLINE void clear(Scalar* row) const {
        for (int i = 0; i < width_ * pixel_; ++i) {
            row[i] = 0;
        }
    }

    Scalar* data_;
    int width_, channels_, pixel_, rows_;
};

}  // namespace imagen_fast::cpu
