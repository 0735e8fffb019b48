// What a network does for one shape: its steps in order and the memory they work in.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "../../kernels/cpu/buffer.h"
#include "arena.h"
#include "network.h"
#include "pool.h"

namespace imagen_fast {

struct Shape {
    int images = 0, height = 0, width = 0;

    bool operator==(const Shape& other) const {
        return images == other.images && height == other.height && width == other.width;
    }
};

// What a run starts from and what it gives.
struct Task {
    enum class Result { picture, pictures, features };

    // From a latent (N, h, w, latent_channels) float at the coarsest level instead of a picture.
    bool latent = false;
    // The decoder's cross-attention reads feature maps that are handed in, one for each level, in
    // place of the encoder's (or, from a latent, of its own).
    bool context = false;
    // The finest level's picture, every level's, or the encoder's feature maps: finest first.
    Result result = Result::picture;

    bool operator==(const Task& other) const {
        return latent == other.latent && context == other.context && result == other.result;
    }
};

// Sizes of the levels, finest first, for what goes in: a picture, or a latent.
std::vector<Shape> level_shapes(const Spec&, const Task&, const Shape& in);

// The arrays of a run, C-contiguous and without border: the picture or the latent, then contexts;
// what results. Pictures are uint8 if `bytes`, else float; everything else is float.
struct Arrays {
    std::vector<const void*> in;
    std::vector<void*> out;
    bool bytes = false;
};

enum class Outcome { done, not_finite, cancelled };  // not finite: somewhere in the output

// Holds pointers into the network, the kernel set and the arena, which must outlive it.
class Plan {
public:
    // All memory is taken here, from the arena. Throws std::bad_alloc.
    Plan(const Spec&, const Network&, const cpu::KernelSet&, const Task&, const Shape&,
         int threads, Arena&);

    // Allocates nothing. Ends between two blocks once `cancelled` is set; sets it when `stop`, if
    // there is one, says so.
    Outcome run(Pool& pool, const Arrays& arrays, const std::function<bool()>& stop,
                std::atomic<bool>& cancelled);

private:
    struct Level;

    static constexpr int kNone = -1;

    void listing(const Spec&, const Network&, const Shape&);
    void hierarchical(const Spec&, const Network&, const Task&, const Shape&);
    cpu::Plane encode(const Network&, std::vector<Level>&);
    void decode(const Network&, const Task&, std::vector<Level>&, const cpu::Plane* stem);
    void picture(const Network&, const Task&, const std::vector<Level>&, std::size_t level,
                 const cpu::Plane& x);
    cpu::Plane stages(const std::vector<Stage>&, Level&, cpu::Plane x, const cpu::Plane* context,
                      const cpu::Plane* result, const cpu::Plane* also);
    void attend(const AttentionOps&, const cpu::Args&);
    // `in` and `out` are places in Arrays whose pointers become the step's image and picture.
    void add(const cpu::Op* op, const cpu::Args& args, int in = kNone, int out = kNone);
    cpu::Plane plane(const Shape&, int channels);

    struct Step {
        const cpu::Op* op;
        cpu::Args args;
        int in, out;
    };
    const cpu::KernelSet& kernels_;
    const int image_channels_;
    Arena& arena_;
    std::vector<Step> steps_;
    std::vector<void*> scratch_;  // for each thread
    std::vector<float*> bases_;  // the picture at every coarse level, once it is asked for
    std::size_t most_scratch_ = 0;
    std::atomic<bool> not_finite_{false};
};

}  // namespace imagen_fast
