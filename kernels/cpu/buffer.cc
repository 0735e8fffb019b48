#include "buffer.h"

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace imagen_fast::cpu {

namespace {

constexpr std::size_t kLine = 64, kPage = 2 << 20;  // a cache line, a large page

std::size_t alignment(std::size_t bytes) { return bytes < 2 * kPage ? kLine : kPage; }

}  // namespace

// calloc, because pages fresh from the system are zero already: nothing is touched before it is
// used, and then by the thread that uses it. Large buffers ask for large pages: a window's or a
// convolution's rows lie in as many pages.
Buffer::Buffer(std::size_t bytes)
    : block_(bytes ? std::calloc(bytes + alignment(bytes), 1) : nullptr), size_(bytes) {
    if (bytes && !block_) {
        throw std::bad_alloc();
    }
    const auto address = reinterpret_cast<std::uintptr_t>(block_);
    const std::uintptr_t multiple = alignment(bytes);
    data_ = reinterpret_cast<void*>((address + multiple - 1) / multiple * multiple);
#ifdef MADV_HUGEPAGE
    if (alignment(bytes) == kPage) {
        madvise(data(), bytes / kPage * kPage, MADV_HUGEPAGE);  // a hint: it may fail
    }
#endif
}

Buffer::Buffer(Buffer&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Buffer::~Buffer() { std::free(block_); }

}  // namespace imagen_fast::cpu
