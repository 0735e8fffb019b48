// Scratch memory handed out piece by piece; with no memory behind it, it only counts.
#pragma once

#include <cstddef>

#include "force_inline.h"

namespace imagen_fast::cpu {

class Pieces {
public:
    explicit IMAGEN_INLINE Pieces(std::byte* base) : base_(base) {}
    template <class T>
    IMAGEN_INLINE T* take(std::ptrdiff_t count) {
        std::byte* piece = base_ ? base_ + used_ : nullptr;
        used_ += (count * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T*>(piece);
    }
    IMAGEN_INLINE std::size_t used() const { return used_; }

private:
    std::byte* base_;
    std::size_t used_ = 0;
};

}  // namespace imagen_fast::cpu
