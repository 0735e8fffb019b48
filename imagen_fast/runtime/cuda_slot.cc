#include "cuda_slot.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace imagen_fast::cuda {

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kBand = 4 << 20;   // bytes that cross the bus while others are copied
constexpr std::size_t kBlock = 1 << 20;  // bytes that a thread copies at once
constexpr int kCopiers = 4;              // one thread alone is slower than the bus

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The first buffers are each slot's own.
std::size_t own(const Model& model) {
    return static_cast<std::size_t>(model.plan.program.not_finite) + 1;
}

std::size_t scratch_bytes(const Model& model, const Work& work) {
    std::size_t most = 0;
    for (const Call& call : work.calls) {
        most = std::max(most, model.scratch_of(call));
    }
    return most;
}

// Whether the GPU reads and writes there by itself. Other memory is an error to the driver.
bool is_pinned(const void* data) {
    unsigned type = 0;
    const auto address = reinterpret_cast<CUdeviceptr>(data);
    return driver().cuPointerGetAttribute(&type, kMemoryType, address) == 0 && type == kHostMemory;
}

// work(at, bytes) for every band.
template <typename Work>
void in_bands(std::size_t bytes, const Work& work) {
    for (std::size_t at = 0; at < bytes; at += kBand) {
        work(at, std::min(kBand, bytes - at));
    }
}

void copy(Pool& pool, std::byte* to, const std::byte* from, std::size_t bytes) {
    pool.run(static_cast<int>((bytes + kBlock - 1) / kBlock), [&](int block, int) {
        const std::size_t at = block * kBlock;
        std::memcpy(to + at, from + at, std::min(kBlock, bytes - at));
    });
}

PoolOptions copiers() {
    PoolOptions options;
    options.threads = std::min(kCopiers, usable_cores());
    return options;
}

}  // namespace

Streams::Streams() : pool(copiers()) {}

std::byte* Slot::Port::here() {
    if (!pinned_) {
        pinned_.emplace(there.bytes);
    }
    return static_cast<std::byte*>(pinned_->data);
}

OwnEvent& Slot::Port::arrived(std::size_t band) {
    while (arrived_.size() <= band) {
        arrived_.emplace_back();
    }
    return arrived_[band];
}

std::size_t Slot::arena_bytes(const Model& model, const Work& work) {
    std::size_t bytes = aligned(scratch_bytes(model, work));
    for (std::size_t i = own(model); i < work.bytes.size(); ++i) {
        bytes += aligned(static_cast<std::size_t>(work.bytes[i]));
    }
    return bytes;
}

std::size_t Slot::own_bytes(const Model& model, const Work& work) {
    return std::accumulate(work.bytes.begin(), work.bytes.begin() + own(model), std::size_t{0});
}

Slot::Slot(const Model& model, const Work& work, const Memory& arena, Streams& streams, bool first)
    : model_(model),
      work_(work),
      streams_(streams),
      inputs_(work.bytes.begin(), work.bytes.begin() + model.plan.program.inputs),
      outputs_(work.bytes.begin() + model.plan.program.inputs,
               work.bytes.begin() + model.plan.program.not_finite),
      flag_(work.bytes[model.plan.program.not_finite], "a flag"),
      told_(sizeof(std::uint32_t)) {
    for (const std::list<Port>* ports : {&inputs_, &outputs_}) {
        for (const Port& port : *ports) {
            buffers_.push_back(port.there.address);
        }
    }
    buffers_.push_back(flag_.address);
    CUdeviceptr at = arena.address;
    for (std::size_t i = own(model); i < work.bytes.size(); ++i) {
        buffers_.push_back(at);
        at += aligned(static_cast<std::size_t>(work.bytes[i]));
    }
    scratch_ = at;
    if (first) {
        compute();
        driver().check(driver().cuStreamSynchronize(streams_.compute.stream), "a first run");
    }
    capture();
}

Slot::~Slot() {
    if (graph_) {
        driver().cuGraphExecDestroy(graph_);
    }
}

void Slot::compute() {
    const CUstream stream = streams_.compute.stream;
    driver().check(driver().cuMemsetD32Async(flag_.address, 0, flag_.bytes / 4, stream),
                   "clearing the flag");
    for (const Call& call : work_.calls) {
        model_.launch(call, buffers_, scratch_, stream);
    }
}

void Slot::capture() {
    const CUstream stream = streams_.compute.stream;
    driver().check(driver().cuStreamBeginCapture_v2(stream, kThisThread), "capturing launches");
    CUgraph graph = nullptr;
    try {
        compute();
    } catch (...) {
        driver().cuStreamEndCapture(stream, &graph);
        if (graph) {
            driver().cuGraphDestroy(graph);
        }
        throw;
    }
    driver().check(driver().cuStreamEndCapture(stream, &graph), "capturing launches");
    const CUresult code = driver().cuGraphInstantiateWithFlags(&graph_, graph, 0);
    driver().cuGraphDestroy(graph);
    driver().check(code, "instantiating the captured graph");
}

void Slot::start(const std::vector<const void*>& in, const std::vector<void*>& out) {
    const Driver& cuda = driver();
    auto source = in.begin();
    for (Port& input : inputs_) {
        const auto* from = static_cast<const std::byte*>(*source++);
        const auto send = [&](const std::byte* data, std::size_t at, std::size_t bytes) {
            cuda.check(cuda.cuMemcpyHtoDAsync_v2(input.there.address + at, data + at, bytes,
                                                 streams_.load.stream),
                       "copying a picture in");
        };
        if (is_pinned(from)) {
            send(from, 0, input.there.bytes);
            continue;
        }
        std::byte* const here = input.here();
        in_bands(input.there.bytes, [&](std::size_t at, std::size_t bytes) {
            copy(streams_.pool, here + at, from + at, bytes);
            send(here, at, bytes);
        });
    }
    loaded_.record(streams_.load.stream);
    cuda.check(cuda.cuStreamWaitEvent(streams_.compute.stream, loaded_.event, 0),
               "waiting for a copy");
    cuda.check(cuda.cuGraphLaunch(graph_, streams_.compute.stream), "launching the captured graph");
    computed_.record(streams_.compute.stream);
    const CUstream store = streams_.store.stream;
    cuda.check(cuda.cuStreamWaitEvent(store, computed_.event, 0), "waiting for the launches");
    auto place = out.begin();
    for (Port& output : outputs_) {
        auto* const wanted = static_cast<std::byte*>(*place++);
        output.target = nullptr;
        const auto fetch = [&](std::byte* data, std::size_t at, std::size_t bytes) {
            cuda.check(cuda.cuMemcpyDtoHAsync_v2(data + at, output.there.address + at, bytes, store),
                       "copying a result out");
        };
        if (!wanted) {
            continue;
        }
        if (is_pinned(wanted)) {
            fetch(wanted, 0, output.there.bytes);
            continue;
        }
        output.target = wanted;
        std::byte* const here = output.here();
        in_bands(output.there.bytes, [&](std::size_t at, std::size_t bytes) {
            fetch(here, at, bytes);
            output.arrived(at / kBand).record(store);
        });
    }
    cuda.check(cuda.cuMemcpyDtoHAsync_v2(told_.data, flag_.address, told_.bytes, store),
               "copying the flag out");
    stored_.record(store);
}

bool Slot::finish() {
    for (Port& output : outputs_) {
        if (output.target) {
            in_bands(output.there.bytes, [&](std::size_t at, std::size_t bytes) {
                output.arrived(at / kBand).wait();
                copy(streams_.pool, output.target + at, output.here() + at, bytes);
            });
        }
    }
    stored_.wait();
    std::uint32_t flag = 0;
    std::memcpy(&flag, told_.data, sizeof flag);
    return flag == 0;
}

}  // namespace imagen_fast::cuda
