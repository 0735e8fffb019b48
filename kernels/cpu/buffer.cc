#include "buffer.h"

#include <cstring>
#include <new>
#include <utility>

namespace imagen_fast::cpu {

constexpr std::align_val_t kAlignment{64};

Buffer::Buffer(std::size_t bytes)
    : data_(bytes ? ::operator new(bytes, kAlignment) : nullptr), size_(bytes) {
    if (bytes) {
        std::memset(data_, 0, bytes);
    }
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Buffer::~Buffer() { ::operator delete(data_, kAlignment); }

}  // namespace imagen_fast::cpu
