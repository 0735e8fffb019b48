#include "tiling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "error.h"

namespace imagen_fast {

namespace {

std::int64_t rounded_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::vector<Span> spans(std::int64_t length, std::int64_t tile, std::int64_t shared,
                        std::int64_t ramp, std::int64_t alignment) {
    std::vector<Span> found;
    std::int64_t start = 0, low = 0, fade = 0;
    if (length > tile) {
        tile = tile / alignment * alignment;
        // As many as it takes, and all as long as the alignment allows.
        const std::int64_t step = tile - shared, count = (length - shared + step - 1) / step;
        tile = rounded_up(length + (count - 1) * shared, count * alignment) / count;
    }
    while (start + tile < length) {
        const std::int64_t high = start + tile - shared / 2 + ramp / 2;
        found.push_back({start, start + tile, low, high, fade});
        start += tile - shared;
        low = high - ramp;
        fade = ramp;
    }
    found.push_back({start, length, low, length, fade});
    return found;
}

std::string too_small(std::int64_t tile, std::int64_t overlap, std::int64_t alignment,
                      std::int64_t least) {
    const std::int64_t most = largest_overlap(tile, alignment);
    if (most < 0) {
        return "a tile of " + std::to_string(tile) +
               " pixels is too small for this model; expected at least " + std::to_string(least) +
               " pixels" + (overlap ? " with an overlap of " + std::to_string(overlap) : "");
    }
    return "a tile of " + std::to_string(tile) + " pixels has no room for an overlap of " +
           std::to_string(overlap) + " on both sides; expected a tile of at least " +
           std::to_string(least) + " pixels, or an overlap of at most " + std::to_string(most);
}

// Linearly from `before` to `after` at place `index` of `count`. Compiled without contraction
// (setup.py), since NumPy rounds the product too.
template <class Sample>
Sample mix(Sample before, Sample after, std::int64_t index, std::int64_t count) {
    const float weight = (static_cast<float>(index) + 0.5f) / static_cast<float>(count);
    const float old = static_cast<float>(before);
    const float mixed = old + (static_cast<float>(after) - old) * weight;
    return static_cast<Sample>(sizeof(Sample) == 1 ? std::nearbyint(mixed) : mixed);
}

}  // namespace

Tiling grid_of(std::int64_t height, std::int64_t width, std::int64_t tile, std::int64_t overlap,
             std::int64_t alignment) {
    if (overlap < 0) {
        throw ArgumentError("tile overlap is " + std::to_string(overlap) +
                            "; expected 0 or more pixels");
    }
    if (tile < 1) {
        throw ArgumentError("tile is " + std::to_string(tile) +
                            "; expected a positive number of pixels");
    }
    const std::int64_t shared = rounded_up(2 * overlap, alignment);
    if (tile < std::max(height, width) && tile < shared + alignment) {
        throw ArgumentError(too_small(tile, overlap, alignment, shared + alignment));
    }
    const std::int64_t ramp = std::min(kRamp, shared);
    return {spans(height, tile, shared, ramp, alignment),
            spans(width, tile, shared, ramp, alignment)};
}

std::int64_t largest_overlap(std::int64_t tile, std::int64_t alignment) {
    return tile < alignment ? -1 : (tile / alignment - 1) * alignment / 2;
}

std::int64_t default_overlap(const Tileable& network, std::int64_t tile) {
    const std::int64_t exact = network.exact_overlap;
    const std::int64_t wanted = exact < 0 ? kDefaultOverlap : std::min(kDefaultOverlap, exact);
    if (tile <= 0) {
        return wanted;
    }
    const std::int64_t most = largest_overlap(tile, network.alignment);
    if (wanted == exact && exact <= most) {
        return wanted;
    }
    return std::max<std::int64_t>(0, std::min({wanted, tile / 4, most}));
}

std::int64_t automatic_tile(std::int64_t height, std::int64_t width, std::int64_t capacity,
                            std::int64_t overlap, std::int64_t alignment,
                            std::int64_t largest) {
    if (height <= capacity / width) {
        return std::max(height, width);
    }
    const auto root = static_cast<std::int64_t>(std::pow(static_cast<double>(capacity), 0.5));
    const std::int64_t side = std::min(root, largest) / alignment * alignment;
    return std::max(side, rounded_up(2 * overlap, alignment) + alignment);
}

Joiner::Joiner(const Tiling& grid, int scale, const View& target, std::int64_t image)
    : grid_(grid),
      scale_(scale),
      target_(target),
      image_(image),
      kept_(memory(grid, scale, static_cast<std::uint64_t>(target.pixel_bytes()))) {}

std::uint64_t Joiner::memory(const Tiling& grid, int scale, std::uint64_t pixel_bytes) {
    const auto rows = static_cast<std::uint64_t>(scale * grid.rows.back().ramp);
    return rows * static_cast<std::uint64_t>(scale * grid.columns.back().stop) * pixel_bytes;
}

void Joiner::add(std::size_t row, std::size_t column, const void* tile) {
    const Span& span = grid_.rows[row];
    if (target_.bytes) {
        add_samples(span, column, static_cast<const std::uint8_t*>(tile));
    } else {
        add_samples(span, column, static_cast<const float*>(tile));
    }
}

template <class Sample>
void Joiner::add_samples(const Span& row, std::size_t column, const Sample* tile) {
    if (column == 0) {
        keep<Sample>(row);
    }
    place(row, grid_.columns[column], tile);
    if (column + 1 == grid_.columns.size()) {
        fade_from_kept<Sample>(row);
    }
}

// What the tile answers for; its first columns fade in over those of the tile to the left.
template <class Sample>
void Joiner::place(const Span& row, const Span& column, const Sample* tile) {
    const std::int64_t channels = target_.channels, fade = scale_ * column.ramp,
                       line = scale_ * (column.stop - column.start) * channels,
                       left = scale_ * column.low, right = scale_ * column.high;
    tile += scale_ * (row.low - row.start) * line + scale_ * (column.low - column.start) * channels;
    for (std::int64_t y = scale_ * row.low; y < scale_ * row.high; ++y, tile += line) {
        for (std::int64_t x = 0; x < fade; ++x) {
            auto* pixel = reinterpret_cast<Sample*>(target_.at(image_, y, left + x));
            for (std::int64_t c = 0; c < channels; ++c) {
                pixel[c] = mix(pixel[c], tile[x * channels + c], x, fade);
            }
        }
        put(target_, image_, y, left + fade,
            reinterpret_cast<const std::byte*>(tile + fade * channels), right - left - fade);
    }
}

// The rows over which a band fades in: as the band above left them.
template <class Sample>
void Joiner::keep(const Span& row) {
    if (row.ramp > 0) {
        cut_out(target_, image_, scale_ * row.low, scale_ * (row.low + row.ramp), 0, target_.width,
                kept_.data());
    }
}

template <class Sample>
void Joiner::fade_from_kept(const Span& row) {
    const auto* before = reinterpret_cast<const Sample*>(kept_.data());
    const std::int64_t fade = scale_ * row.ramp;
    for (std::int64_t y = 0; y < fade; ++y) {
        for (std::int64_t x = 0; x < target_.width; ++x, before += target_.channels) {
            auto* pixel =
                reinterpret_cast<Sample*>(target_.at(image_, scale_ * row.low + y, x));
            for (int c = 0; c < target_.channels; ++c) {
                pixel[c] = mix(before[c], pixel[c], y, fade);
            }
        }
    }
}

}  // namespace imagen_fast
