// Memory for one plan after the other. A new shape works in the buffers of the last one where they
// are large enough: fresh memory costs a page fault for every 4 KiB, a third of a small tile's run.
#pragma once

#include <cstddef>
#include <vector>

#include "../../kernels/cpu/buffer.h"

namespace imagen_fast {

class Arena {
public:
    struct Piece {
        void* data;
        bool fresh;  // zero; otherwise it holds what was left there
    };
    enum class Kind {
        memory,
        count  // hands out distinct addresses that nobody may use, to find how much is needed
    };

    explicit Arena(Kind kind = Kind::memory) : kind_(kind) {}

    // Everything handed out before may be handed out again.
    void restart();
    // At least `bytes` bytes, 64-byte aligned, until `restart`. Throws std::bad_alloc.
    Piece take(std::size_t bytes);
    // Gives back what has not been handed out since `restart`.
    void trim() { free_.clear(); }
    // Of all that has been taken from one that counts.
    std::size_t counted() const { return counted_; }

private:
    const Kind kind_;
    std::size_t counted_ = 0;
    std::vector<cpu::Buffer> taken_, free_;
};

}  // namespace imagen_fast
