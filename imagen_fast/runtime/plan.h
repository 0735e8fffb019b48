// What a network does for one request: its steps in order and the memory they work in.
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../../kernels/cpu/buffer.h"
#include "arena.h"
#include "chain.h"
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
        std::shared_ptr<Chain> chain;  // instead, many steps

        int blocks() const { return chain ? chain->blocks() : op->blocks(args); }
    };

    void find_last_reads();
    // Where the chain ends that begins with an operation: behind it, if it is none. Its columns are in
    // `columns_`.
    int chain_end(int number);
    void find_readers();
    int around(int number) const;  // how far an operation of a chain reads around a pixel
    bool may_be_in_chain(int number, const Shape&) const;
    // How many columns of it fit a core's own cache; 0: these operations should be no chain.
    int columns_of_chain(int begin, int end) const;
    bool overlap(int a, int b) const;
    bool is_wanted(int value) const;  // handed out
    bool is_inner(int value, int begin, int end) const;  // of the chain that is being made
    void compute_chain(int begin, int end);
    void compute(int number);
    void concatenate(const Operation&);
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
    std::pair<std::size_t, void*> take(std::size_t bytes);
    void copy(const cpu::Plane& from, const cpu::Plane& to, const std::vector<int>& order);
    // `in` and `out` are places in Arrays whose pointers become the step's image and picture; `around`:
    // how far it reads around a pixel.
    void add(const cpu::Op* op, const cpu::Args& args, int in = kNone, int out = kNone,
             bool bytes = false, int around = 0);

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
    std::map<int, std::pair<std::size_t, void*>> reduced_;  // rows of values, a step towards a pixel
    std::vector<std::shared_ptr<const cpu::Op>> made_;  // for this plan alone
    std::vector<Step> steps_;
    struct Reader {
        int number, around;
    };
    std::vector<std::vector<Reader>> readers_;  // of what each operation gives, or of a part of it
    struct Written {  // a plane: the operations that give parts of it; inputs come before them
        int first = std::numeric_limits<int>::max(), last = kNone;
        bool wanted = false;
    };
    std::vector<Written> written_;  // by the value whose plane it is
    std::shared_ptr<Chain> chain_;  // that is being made, of these operations
    int chain_begin_ = 0, chain_end_ = 0, columns_ = 0;
    const int threads_;
    std::vector<void*> scratch_;  // for each thread
    std::size_t most_scratch_ = 0;
    std::atomic<bool> not_finite_{false};
};

}  // namespace imagen_fast
