// A GPU, and what is taken from it and given back. Everything but Device itself is made, used and
// given back while the device is Current.
#pragma once

#include <cstddef>
#include <string>

#include "cuda_driver.h"

namespace imagen_fast::cuda {

// N of "cuda:N"; 0 of "cuda". Throws ArgumentError: another name.
int index_of(const std::string& name);

// Holds the context that all users of the GPU in this process share.
class Device {
public:
    // "cuda" or "cuda:N". Throws BackendError: there is no such GPU or no driver; ArgumentError:
    // another name.
    explicit Device(const std::string& name);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    ~Device();

    int capability = 0;  // as 90 for 9.0
    int multiprocessors = 0, most_shared = 0;
    std::string title;  // for messages: "cuda:0, NVIDIA H100 (sm_90)"
    CUcontext context = nullptr;

private:
    int attribute(int which) const;

    CUdevice number_ = 0;
};

// While it lives this thread talks to a device, whatever it talked to before.
class Current {
public:
    explicit Current(const Device&);
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;
    ~Current();
};

// Bytes on the GPU.
class Memory {
public:
    Memory() = default;
    Memory(std::size_t bytes, const std::string& what);
    Memory(Memory&&) noexcept;
    Memory& operator=(Memory&&) noexcept;
    ~Memory();

    CUdeviceptr address = 0;
    std::size_t bytes = 0;
};

// Bytes in main memory that the GPU reads and writes by itself.
class Pinned {
public:
    explicit Pinned(std::size_t bytes);
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;
    ~Pinned();

    void* data = nullptr;
    const std::size_t bytes;
};

class OwnStream {
public:
    OwnStream();
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;
    ~OwnStream();

    CUstream stream = nullptr;
};

// A point in a stream.
class OwnEvent {
public:
    OwnEvent();
    OwnEvent(const OwnEvent&) = delete;
    OwnEvent& operator=(const OwnEvent&) = delete;
    ~OwnEvent();

    void record(CUstream);
    void wait() const;

    CUevent event = nullptr;
};

}  // namespace imagen_fast::cuda
