// Chunks of tiles on their way through a GPU: imagen_fast/backends/slots.py, which explains them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "cuda_model.h"
#include "pool.h"

namespace imagen_fast::cuda {

// And the threads that copy between ordinary and pinned memory.
struct Streams {
    Streams();

    OwnStream load, compute, store;
    Pool pool;
};

// One chunk of inputs of some shapes. start() only queues the work.
class Slot {
public:
    // Feature maps lie in `arena`, which has room for `arena_bytes`. The launches are captured here,
    // once; if `first`, they are made before that, because what loads late must not load then.
    Slot(const Model&, const Work&, const Memory& arena, Streams&, bool first);
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot();

    // Puts a chunk on its way from a place of each input to one of each output, or null, by way of
    // pinned memory, band by band, unless they are pinned themselves. The last one has been waited
    // for.
    void start(const std::vector<const void*>& in, const std::vector<void*>& out);
    // Waits for it; whether it is finite.
    bool finish();

    // Of a chunk of an input or of an output, by the number of its buffer.
    std::int64_t bytes(int buffer) const { return work_.bytes[buffer]; }

    static std::size_t arena_bytes(const Model&, const Work&);
    // Bytes on the GPU beside the arena; as many are pinned in main memory.
    static std::size_t own_bytes(const Model&, const Work&);

private:
    void compute();
    void capture();

    const Model& model_;
    const Work work_;
    Streams& streams_;
    // What comes or goes: on the GPU, in pinned memory, and where that is copied to, if anywhere.
    struct Port {
        explicit Port(std::size_t bytes) : there(bytes, "a picture") {}
        std::byte* here();  // pinned memory, made when it is first asked for, like the events
        OwnEvent& arrived(std::size_t band);

        Memory there;
        std::byte* target = nullptr;

    private:
        std::optional<Pinned> pinned_;
        std::deque<OwnEvent> arrived_;
    };

    std::list<Port> inputs_, outputs_;
    Memory flag_;
    Pinned told_;
    OwnEvent loaded_, computed_, stored_;
    std::vector<CUdeviceptr> buffers_;
    CUdeviceptr scratch_ = 0;
    CUgraphExec graph_ = nullptr;
};

}  // namespace imagen_fast::cuda
