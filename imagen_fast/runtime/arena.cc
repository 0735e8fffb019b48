#include "arena.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace imagen_fast {

constexpr std::size_t kCacheLine = 64;

void Arena::restart() {
    std::move(taken_.begin(), taken_.end(), std::back_inserter(free_));
    taken_.clear();
}

Arena::Piece Arena::take(std::size_t bytes) {
    if (kind_ == Kind::count) {
        counted_ += bytes + kCacheLine;
        return {reinterpret_cast<void*>(counted_ / kCacheLine * kCacheLine), true};
    }
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it) {
        if (it->size() >= bytes && (best == free_.end() || it->size() < best->size())) {
            best = it;
        }
    }
    const bool fresh = best == free_.end();
    if (fresh) {
        taken_.emplace_back(bytes);
    } else {
        taken_.push_back(std::move(*best));
        free_.erase(best);
    }
    return {taken_.back().data(), fresh};
}

}  // namespace imagen_fast
