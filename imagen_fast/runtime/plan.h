// What a network does for one request: its steps in order and the memory they work in.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../../kernels/cpu/buffer.h"
#include "arena.h"
#include "network.h"
#include "pool.h"
#include "request.h"

namespace imagen_fast {

enum class Outcome { done, not_finite, cancelled };  // not finite: somewhere in the output

// Holds pointers into the network, the kernel set and the arena, which must outlive it.
class Plan {
public:
    // All memory is taken here, from the arena. Throws std::bad_alloc, and as `needed`.
    Plan(const Network&, const cpu::KernelSet&, const Request&, int threads, Arena&);

    // Allocates nothing. Ends between two blocks once `cancelled` is set; sets it when `stop`, if
    // there is one, says so.
    Outcome run(Pool& pool, const Arrays& arrays, const std::function<bool()>& stop,
                std::atomic<bool>& cancelled);

private:
    // Samples that are handed in or out, or lie in memory.
    struct Samples {
        void* data = nullptr;
        int array = kNone;  // which of Arrays
        bool bytes = false;
    };
    struct Step {
        const cpu::Op* op;
        cpu::Args args;
        int in, out;
    };

    void find_last_reads();
    void compute(int number);
    void concatenate(const Operation&);
    void attend(int number, cpu::Args);
    void halve(int number);
    void give(int value);
    void release(int number);
    bool in_place(int number) const;

    // The value that is read where `value` is written: an input that is left out has another.
    int resolve(int value) const;
    int root(int value) const { return network_.storage[value].plane; }
    Shape shape(int value) const;
    cpu::Plane plane(int value);       // as it lies
    cpu::Plane plain(int value);       // channel i in element i
    cpu::Plane whole(int value);       // plain, and nothing else in its pixels
    cpu::Plane into(int value);        // to be written
    Samples samples(int value) const;  // of one that is packed
    cpu::Plane take(const Shape&, int elements);
    void* take(std::size_t bytes);
    void copy(const cpu::Plane& from, const cpu::Plane& to, const std::vector<int>& order);
    // `in` and `out` are places in Arrays whose pointers become the step's image and picture.
    void add(const cpu::Op* op, const cpu::Args& args, int in = kNone, int out = kNone,
             bool bytes = false);

    const Network& network_;
    const Graph& graph_;
    const cpu::KernelSet& kernels_;
    const Request request_;
    Arena& arena_;
    std::vector<char> needed_;      // operations
    std::vector<int> last_read_;    // of the values that have a plane of their own: by operation
    std::map<int, cpu::Plane> planes_, plain_, whole_;  // by value
    std::map<int, void*> packed_;                       // halves of pictures
    std::vector<std::pair<cpu::Plane, Shape>> free_planes_;
    std::vector<std::pair<std::size_t, void*>> free_memory_;
    std::vector<std::shared_ptr<const cpu::Op>> made_;  // for this plan alone
    std::vector<Step> steps_;
    std::vector<void*> scratch_;  // for each thread
    std::size_t most_scratch_ = 0;
    std::atomic<bool> not_finite_{false};
};

}  // namespace imagen_fast
