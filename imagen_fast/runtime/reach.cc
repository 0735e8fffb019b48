#include "reach.h"

#include <algorithm>
#include <vector>

namespace imagen_fast {

namespace {

struct Interval {
    std::int64_t low, high;

    void include(const Interval& other) {
        low = std::min(low, other.low);
        high = std::max(high, other.high);
    }
    void widen(std::int64_t by) {
        low -= by;
        high += by;
    }
};

std::int64_t floor_of(std::int64_t value, std::int64_t divisor) {
    return value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor);
}

// The windows of attention block `index` that hold the interval; every second one is shifted.
Interval windows(const Interval& x, std::int64_t window, int index) {
    const std::int64_t shift = index % 2 ? window / 2 : 0;
    return {floor_of(x.low + shift, window) * window - shift,
            (floor_of(x.high + shift, window) + 1) * window - 1 - shift};
}

// Whether everything that both tiles are seen in across the seam is read by both, which share
// `shared` pixels.
bool is_exact(const Spec& spec, std::int64_t shared, std::int64_t widest_ramp) {
    const std::int64_t ramp = std::min(widest_ramp, shared);
    for (std::int64_t seen = (shared - ramp) / 2; seen < (shared + ramp) / 2; ++seen) {
        const auto [low, high] = reads(spec, seen);
        if (low < 0 || high >= shared) {
            return false;
        }
    }
    return true;
}

}  // namespace

std::int64_t alignment(const Spec& spec) {
    return static_cast<std::int64_t>(spec.window) << (spec.levels.size() - 1);
}

bool reads_everything(const Spec& spec) {
    return spec.architecture == "listing" ||
           std::any_of(spec.levels.begin(), spec.levels.end(),
                       [](const Level& level) { return level.global; });
}

std::pair<std::int64_t, std::int64_t> reads(const Spec& spec, std::int64_t position) {
    Interval needed{position - 1, position + 1};  // the head
    std::vector<Interval> features;               // what the decoder needs of the encoder's
    for (const Level& level : spec.levels) {
        if (!features.empty()) {
            needed = {floor_of(needed.low, 2), floor_of(needed.high, 2)};
        }
        Interval feature = needed;
        for (int index = 2 * level.depth; index-- > level.depth;) {
            feature.include(windows(needed, spec.window, index));
            needed.widen(level.convs);
        }
        feature.include(needed);  // the skip
        features.push_back(feature);
    }
    needed = features.back();
    for (std::size_t number = spec.levels.size(); number-- > 0;) {
        needed.include(features[number]);
        for (int index = spec.levels[number].depth; index-- > 0;) {
            needed = windows(needed, spec.window, index);
            needed.widen(spec.levels[number].convs);
        }
        if (number > 0) {
            needed = {2 * needed.low, 2 * needed.high + 1};
        }
    }
    return {needed.low - 1, needed.high + 1};  // the stem
}

std::optional<std::int64_t> exact_overlap(const Spec& spec, std::int64_t ramp) {
    if (reads_everything(spec)) {
        return std::nullopt;
    }
    const std::int64_t step = alignment(spec);
    std::int64_t radius = 0;
    for (std::int64_t position = 0; position < step; ++position) {
        const auto [low, high] = reads(spec, position);
        radius = std::max({radius, position - low, high - position});
    }
    // Counted from the start of the next tile, a tile ends at `shared`.
    std::int64_t shared = (2 * radius + ramp + step - 1) / step * step;
    while (shared > step && is_exact(spec, shared - step, ramp)) {
        shared -= step;
    }
    return shared / 2;
}

}  // namespace imagen_fast
