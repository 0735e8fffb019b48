// Which input pixels an output pixel depends on: imagen_fast/spec.py's `reads`, where it is
// explained.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "spec.h"

namespace imagen_fast {

// Input pixels after which the whole computation repeats: tiles start at multiples of it.
std::int64_t alignment(const Spec&);

// Whether an output pixel depends on input pixels far away, because attention reads all of them.
bool reads_everything(const Spec&);

// First and last input pixel, along one axis, on which an input pixel's output depends, in an
// endless picture; only if not `reads_everything`.
std::pair<std::int64_t, std::int64_t> reads(const Spec&, std::int64_t position);

// The smallest overlap with which tiled equals whole, tiles fading into each other over `ramp`
// pixels; none if no overlap is enough.
std::optional<std::int64_t> exact_overlap(const Spec&, std::int64_t ramp);

}  // namespace imagen_fast
