#include "cuda_device.h"

#include <charconv>
#include <utility>

#include "error.h"

namespace imagen_fast::cuda {

int index_of(const std::string& name) {
    constexpr std::size_t start = sizeof "cuda:" - 1;
    int index = 0;
    if (name == "cuda") {
        return index;
    }
    const char* end = name.data() + name.size();
    if (name.rfind("cuda:", 0) == 0 && name.size() > start) {
        const auto [stop, error] = std::from_chars(name.data() + start, end, index);
        if (error == std::errc() && stop == end && index >= 0) {
            return index;
        }
    }
    throw ArgumentError("device is \"" + name + "\"; expected \"cpu\", \"cuda\" or \"cuda:N\"");
}

Device::Device(const std::string& name) {
    const int index = index_of(name);
    const Driver& cuda = driver();
    int count = 0;
    cuda.check(cuda.cuDeviceGetCount(&count), "counting GPUs");
    if (index >= count) {
        throw BackendError("there is no " + name + ": the driver finds " + std::to_string(count) +
                           " GPU" + (count == 1 ? "" : "s"));
    }
    cuda.check(cuda.cuDeviceGet(&number_, index), "opening " + name);
    char text[256] = "";
    cuda.check(cuda.cuDeviceGetName(text, sizeof text - 1, number_), "asking for a GPU's name");
    capability = 10 * attribute(kMajor) + attribute(kMinor);
    multiprocessors = attribute(kMultiprocessors);
    most_shared = attribute(kMostShared);
    title = "cuda:" + std::to_string(index) + ", " + text + " (sm_" + std::to_string(capability) +
            ")";
    cuda.check(cuda.cuDevicePrimaryCtxRetain(&context, number_), "opening " + title);
}

Device::~Device() { driver().cuDevicePrimaryCtxRelease_v2(number_); }

int Device::attribute(int which) const {
    int value = 0;
    driver().check(driver().cuDeviceGetAttribute(&value, which, number_), "asking what a GPU can");
    return value;
}

Current::Current(const Device& device) {
    driver().check(driver().cuCtxPushCurrent_v2(device.context), "turning to " + device.title);
}

Current::~Current() {
    CUcontext before = nullptr;
    driver().cuCtxPopCurrent_v2(&before);
}

Memory::Memory(std::size_t wanted, const std::string& what) : bytes(wanted) {
    if (bytes) {
        driver().check(driver().cuMemAlloc_v2(&address, bytes),
                       std::to_string(bytes) + " bytes for " + what);
    }
}

Memory::Memory(Memory&& other) noexcept
    : address(std::exchange(other.address, 0)), bytes(std::exchange(other.bytes, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
    std::swap(address, other.address);
    std::swap(bytes, other.bytes);
    return *this;
}

Memory::~Memory() {
    if (address) {
        driver().cuMemFree_v2(address);
    }
}

Pinned::Pinned(std::size_t wanted) : bytes(wanted) {
    driver().check(driver().cuMemHostAlloc(&data, bytes, kPortable),
                   std::to_string(bytes) + " bytes of pinned main memory");
}

Pinned::~Pinned() { driver().cuMemFreeHost(data); }

OwnStream::OwnStream() {
    driver().check(driver().cuStreamCreate(&stream, kNonBlocking), "making a stream");
}

OwnStream::~OwnStream() { driver().cuStreamDestroy_v2(stream); }

OwnEvent::OwnEvent() {
    driver().check(driver().cuEventCreate(&event, kNoTiming), "making an event");
}

OwnEvent::~OwnEvent() { driver().cuEventDestroy_v2(event); }

void OwnEvent::record(CUstream stream) {
    driver().check(driver().cuEventRecord(event, stream), "recording an event");
}

void OwnEvent::wait() const {
    driver().check(driver().cuEventSynchronize(event), "waiting for a run");
}

}  // namespace imagen_fast::cuda
