// Steps that run one behind the other over strips of a picture, a few rows at a time: what they hand
// on stays in a thread's own cache. Plane after plane, it would cross memory each time.
//
// A strip goes from top to bottom in bands. In each, every step computes as many rows, the first ones
// further down by what the later ones read around a pixel. A buffer holds the rows of a value that are
// still read; they move to its top when a band begins. Only at a strip's sides and ends are pixels
// computed twice. Each is computed of the same numbers in the same order, so results are equal bit by
// bit.
#pragma once

#include <atomic>
#include <vector>

#include "../../kernels/cpu/op.h"
#include "arena.h"
#include "request.h"

namespace imagen_fast {

class Chain {
public:
    // Of values of this shape, which all that the steps read and write have.
    Chain(const cpu::KernelSet&, const Shape&);
    ~Chain();

    // A plane that no step outside reads. Only this chain's steps may be given it.
    cpu::Plane take(int elements);
    // What step `op` reads is as far as `reach` pixels from what it computes of it. What planes of
    // others it writes, no step of the chain reads further than where it writes itself.
    void add(const cpu::Op* op, const cpu::Args& args, int reach);

    // Cuts the picture into strips of about so many columns, and takes buffers for each thread. Returns
    // how much scratch memory a step needs.
    std::size_t plan(int threads, int columns, Arena& arena);

    int blocks() const { return shape_.images * parts_ * strips_; }
    // Ends between two bands once `cancelled` is set.
    void run(int block, int thread, std::byte* scratch, const std::atomic<bool>& cancelled) const;

    static constexpr int kBand = 4;     // rows
    static constexpr int kColumns = 16;  // the fewest of a strip: what a tile of products holds

private:
    struct Buffer {
        int elements, reach = 0, lag = 0;  // lag: rows that are still read when a band begins
        std::vector<void*> memory;         // for each thread
    };
    struct Step {
        const cpu::Op* op;
        cpu::Args args;
        int around, reach = 0;  // reach: how far beyond the strip its result is read
    };
    // Where a strip stands.
    struct State;

    void find_reaches();
    void cut(int threads);
    template <class Each>
    static void visit_read(const Step&, Each each);
    void compute(const Step&, State&, int from, int to, std::byte* scratch) const;
    cpu::Plane part(const cpu::Plane&, const State&, int from, int to, int left, int right) const;
    void move_up(State&) const;

    const cpu::KernelSet& kernels_;
    const Shape shape_;
    std::vector<Buffer> buffers_;
    std::vector<Step> steps_;
    int strips_ = 1, parts_ = 1, strip_ = 0, part_ = 0;  // columns of a strip, rows of a part
    int farthest_ = 0;
    mutable std::vector<State> states_;  // of each thread
};

}  // namespace imagen_fast
