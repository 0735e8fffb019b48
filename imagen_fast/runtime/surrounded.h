// Pixels all around which something is so: what within_reach of imagen_fast/image/neutral.py marks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace imagen_fast {

// The pixels of a picture for which, and for all up to `reach` pixels from them in both directions,
// something is true. Beyond the border it is.
class Surrounded {
public:
    Surrounded(int height, int width, int reach)
        : height_(height), width_(width), reach_(reach), across_(width), since_(width) {}

    // each(y, x) for those in rows [from, to); is(y, x) says where it is true.
    template <class Is, class Each>
    void visit(int from, int to, const Is& is, const Each& each) {
        const int whole = 2 * reach_ + 1;  // pixels in a row, or below each other
        // How many rows, below each other so far, have it in all of a row around a column.
        std::fill(since_.begin(), since_.end(), std::max(reach_ - from, 0));
        for (int y = std::max(from - reach_, 0); y < to + reach_; ++y) {
            if (y >= height_) {
                std::fill(across_.begin(), across_.end(), std::uint8_t{1});
            } else if (!mark([&](int x) { return is(y, x); })) {
                std::fill(since_.begin(), since_.end(), 0);
                continue;
            }
            for (std::size_t x = 0; x < across_.size(); ++x) {
                since_[x] = across_[x] ? since_[x] + 1 : 0;
                if (since_[x] >= whole && y - reach_ >= from) {
                    each(y - reach_, static_cast<int>(x));
                }
            }
        }
    }

private:
    // Marks the pixels of a row in whose reach is(x) is true; whether there are any.
    template <class Is>
    bool mark(const Is& is) {
        bool any = false;
        std::fill(across_.begin(), across_.end(), std::uint8_t{0});
        const auto holds = [&](int x) { return x < 0 || x >= width_ || is(x); };
        for (int begin = -reach_; begin + reach_ < width_;) {
            // From the far end: mostly it is not true there, and what lies before need not be asked.
            int last = begin + 2 * reach_;
            while (last >= begin && holds(last)) {
                --last;
            }
            if (last >= begin) {
                begin = last + 1;
                continue;
            }
            int end = begin + 2 * reach_ + 1;
            while (end < width_ + reach_ && holds(end)) {
                ++end;
            }
            std::fill(across_.begin() + begin + reach_, across_.begin() + end - reach_,
                      std::uint8_t{1});
            any = true;
            begin = end + 1;
        }
        return any;
    }

    const int height_, width_, reach_;
    std::vector<std::uint8_t> across_;
    std::vector<int> since_;
};

}  // namespace imagen_fast
