#include "cuda_slot.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace imagen_fast::cuda {

namespace {

constexpr std::size_t kAlignment = 256;

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

}  // namespace

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
        const void* from = *source++;
        if (!is_pinned(from)) {
            from = std::memcpy(input.here.data, from, input.here.bytes);
        }
        cuda.check(cuda.cuMemcpyHtoDAsync_v2(input.there.address, from, input.here.bytes,
                                             streams_.load.stream),
                   "copying a picture in");
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
        void* const wanted = *place++;
        output.target = !wanted || is_pinned(wanted) ? nullptr : wanted;
        if (wanted) {
            cuda.check(cuda.cuMemcpyDtoHAsync_v2(output.target ? output.here.data : wanted,
                                                 output.there.address, output.here.bytes, store),
                       "copying a result out");
        }
    }
    cuda.check(cuda.cuMemcpyDtoHAsync_v2(told_.data, flag_.address, told_.bytes, store),
               "copying the flag out");
    stored_.record(store);
}

bool Slot::finish() {
    stored_.wait();
    for (const Port& output : outputs_) {
        if (output.target) {
            std::memcpy(output.target, output.here.data, output.here.bytes);
        }
    }
    std::uint32_t flag = 0;
    std::memcpy(&flag, told_.data, sizeof flag);
    return flag == 0;
}

}  // namespace imagen_fast::cuda
