// What a network does for one shape: its steps in order and the memory they work in.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "../../kernels/cpu/buffer.h"
#include "network.h"
#include "pool.h"

namespace imagen_fast {

struct Shape {
    int images = 0, height = 0, width = 0;

    bool operator==(const Shape& other) const {
        return images == other.images && height == other.height && width == other.width;
    }
};

enum class Outcome { done, not_finite, cancelled };  // not finite: somewhere in the output

// Holds pointers into the network and the kernel set, which must outlive it.
class Plan {
public:
    // All memory is taken here. Throws std::bad_alloc.
    Plan(const Spec&, const Network&, const cpu::KernelSet&, const Shape&, int threads);

    // (N, H, W, C) → (N, sH, sW, C), both uint8 if `bytes`, else float. Allocates nothing. Ends
    // between two blocks once `cancelled` is set; sets it when `stop`, if there is one, says so.
    Outcome run(Pool& pool, const void* image, void* picture, bool bytes,
                const std::function<bool()>& stop, std::atomic<bool>& cancelled);

private:
    struct Level;

    void hierarchical(const Spec&, const Network&, const cpu::KernelSet&, const Shape&);
    void listing(const Spec&, const Network&, const cpu::KernelSet&, const Shape&);
    void add(const cpu::Op* op, const cpu::Args& args);
    void attend(const AttentionOps&, const cpu::KernelSet&, cpu::Args args);
    cpu::Plane stages(const std::vector<Stage>&, const cpu::KernelSet&, Level&, cpu::Plane x,
                      const cpu::Plane* context, const cpu::Plane* result, const cpu::Plane* also);
    cpu::Plane plane(const cpu::KernelSet&, const Shape&, int channels);

    struct Step {
        const cpu::Op* op;
        cpu::Args args;
    };
    const cpu::KernelSet& kernels_;
    std::vector<Step> steps_;
    std::vector<cpu::Buffer> buffers_, scratch_;
    std::size_t most_scratch_ = 0;
    std::atomic<bool> not_finite_{false};
};

}  // namespace imagen_fast
