#include "buffer.h"

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace imagen_fast::cpu {

constexpr std::uintptr_t kAlignment = 64;

// calloc, because pages fresh from the system are zero already: nothing is touched before it is
// used, and then by the thread that uses it.
Buffer::Buffer(std::size_t bytes)
    : block_(bytes ? std::calloc(bytes + kAlignment, 1) : nullptr), size_(bytes) {
    if (bytes && !block_) {
        throw std::bad_alloc();
    }
}

void* Buffer::data() const {
    const auto address = reinterpret_cast<std::uintptr_t>(block_);
    return reinterpret_cast<void*>((address + kAlignment - 1) / kAlignment * kAlignment);
}

Buffer::Buffer(Buffer&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(size_, other.size_);
    return *this;
}

Buffer::~Buffer() { std::free(block_); }

}  // namespace imagen_fast::cpu
