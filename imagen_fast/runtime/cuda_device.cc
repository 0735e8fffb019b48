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
    cuda.check(cuda.device_count(&count), "counting GPUs");
    if (index >= count) {
        throw BackendError("there is no " + name + ": the driver finds " + std::to_string(count) +
                           " GPU" + (count == 1 ? "" : "s"));
    }
    cuda.check(cuda.device_get(&number_, index), "opening " + name);
    char text[256] = "";
    cuda.check(cuda.device_name(text, sizeof text - 1, number_), "asking for a GPU's name");
    capability = 10 * attribute(kMajor) + attribute(kMinor);
    multiprocessors = attribute(kMultiprocessors);
    most_shared = attribute(kMostShared);
    title = "cuda:" + std::to_string(index) + ", " + text + " (sm_" + std::to_string(capability) +
            ")";
    cuda.check(cuda.context_retain(&context, number_), "opening " + title);
}

Device::~Device() { driver().context_release(number_); }

int Device::attribute(int which) const {
    int value = 0;
    driver().check(driver().device_attribute(&value, which, number_), "asking what a GPU can");
    return value;
}

Current::Current(const Device& device) {
    driver().check(driver().context_push(device.context), "turning to " + device.title);
}

Current::~Current() {
    Context before = nullptr;
    driver().context_pop(&before);
}

Memory::Memory(std::size_t wanted, const std::string& what) : bytes(wanted) {
    if (bytes) {
        driver().check(driver().memory_take(&address, bytes),
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
        driver().memory_give(address);
    }
}

Pinned::Pinned(std::size_t wanted) : bytes(wanted) {
    driver().check(driver().host_take(&data, bytes, kPortable),
                   std::to_string(bytes) + " bytes of pinned main memory");
}

Pinned::~Pinned() { driver().host_give(data); }

OwnStream::OwnStream() {
    driver().check(driver().stream_make(&stream, kNonBlocking), "making a stream");
}

OwnStream::~OwnStream() { driver().stream_end(stream); }

OwnEvent::OwnEvent() { driver().check(driver().event_make(&event, kNoTiming), "making an event"); }

OwnEvent::~OwnEvent() { driver().event_end(event); }

void OwnEvent::record(Stream stream) {
    driver().check(driver().event_record(event, stream), "recording an event");
}

void OwnEvent::wait() const { driver().check(driver().event_finish(event), "waiting for a run"); }

}  // namespace imagen_fast::cuda
