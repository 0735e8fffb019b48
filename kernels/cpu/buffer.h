// Memory on a cache line's boundary.
#pragma once

#include <cstddef>

namespace imagen_fast::cpu {

// Owns `bytes` bytes, 64-byte aligned and zero. Throws std::bad_alloc.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t bytes);
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer();

    void* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    void *block_ = nullptr, *data_ = nullptr;  // the block begins somewhat before the data
    std::size_t size_ = 0;
};

}  // namespace imagen_fast::cpu
