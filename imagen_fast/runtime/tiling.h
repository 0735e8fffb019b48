// Pictures in tiles, cut and joined exactly as imagen_fast/tiling.py does it, which explains how.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "view.h"

namespace imagen_fast {

// Input pixels over which one tile's output fades into the next one's.
constexpr std::int64_t kRamp = 8;

// A tile along one axis: it reads [start, stop) and answers for [low, high), fading in over `ramp`
// pixels from `low` on. All in input pixels.
struct Span {
    std::int64_t start, stop, low, high, ramp;
};

// The tiles of a picture: every row span with every column span.
struct Tiling {
    std::vector<Span> rows, columns;

    std::size_t tiles() const { return rows.size() * columns.size(); }
};

// How a network may be cut into tiles.
struct Tileable {
    std::int64_t alignment = 1;       // tiles start at multiples of it
    std::int64_t exact_overlap = -1;  // with which tiled equals whole; negative: with none
};

// Cuts a picture into tiles of at most tile × tile input pixels, overlap included. Throws
// ArgumentError: a size is negative, or the tile has no room for its overlaps.
Tiling grid_of(std::int64_t height, std::int64_t width, std::int64_t tile, std::int64_t overlap,
             std::int64_t alignment);

// The most overlap for which a tile has room; negative if it has for none.
std::int64_t largest_overlap(std::int64_t tile, std::int64_t alignment);

// The overlap that needs no asking, where it fits.
constexpr std::int64_t kDefaultOverlap = 32;

// The overlap to use unless asked otherwise; `tile` 0 stands for one chosen later.
std::int64_t default_overlap(const Tileable&, std::int64_t tile);

// The tile size for a picture of which `capacity` input pixels may be computed at once: the whole
// picture if it fits, else the largest square that fits, of at most `largest` pixels.
std::int64_t automatic_tile(std::int64_t height, std::int64_t width, std::int64_t capacity,
                            std::int64_t overlap, std::int64_t alignment, std::int64_t largest);

// Joins the tiles of a grid in their order, row by row, into a picture that is `scale` times as
// large, in place.
class Joiner {
public:
    // `target` must stay where it is; of its pictures this writes one.
    Joiner(const Tiling&, int scale, const View& target, std::int64_t image);

    // A tile's output (s·h, s·w, C), in the target's type and without gaps.
    void add(std::size_t row, std::size_t column, const void* tile);

    // Bytes that it keeps from one row of tiles to the next.
    static std::uint64_t memory(const Tiling&, int scale, std::uint64_t pixel_bytes);

private:
    template <class Sample>
    void place(const Span& row, const Span& column, const Sample* tile);
    template <class Sample>
    void keep(const Span& row);
    template <class Sample>
    void fade_from_kept(const Span& row);
    template <class Sample>
    void add_samples(const Span& row, std::size_t column, const Sample* tile);

    const Tiling& grid_;
    const std::int64_t scale_;
    const View target_;
    const std::int64_t image_;
    std::vector<std::byte> kept_;  // the rows of the band above that fade into this one
};

}  // namespace imagen_fast
