// Which operations of a plan become chains: those whose planes would not stay in the caches.
#ifdef __linux__
#include <unistd.h>
#endif

#include <algorithm>

#include "plan.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

constexpr int kMostSteps = 24;
// At a strip's sides pixels are computed twice: strips have at least so many columns for each that is
// read beyond them. With 64 a pixel of 2048² costs 3 to 7 % less than with 128, and one of 1024² as much
// (DISP on a Xeon with AMX); of NAFNet's blocks 61 fit 512 KB in fp32.
constexpr int kColumnsOfReach = 48;
// Up to so many bytes of planes for each thread, a 3×3 convolution gets them from the cache that cores
// share as fast as it computes.
constexpr std::size_t kConvolved = 12 << 20;

// Bytes of a core's own cache that buffers may fill: weights and planes pass through it as well.
// Measured at 256² to 1024² on a Xeon with 2 MB: less is as good, 5/8 is up to 5 % slower.
std::size_t own_cache() {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return static_cast<std::size_t>(bytes > 0 ? bytes : 1 << 20) * 3 / 8;
}

bool is_three(const Operation& x) {
    return x.kind == Operation::Kind::convolution && kernel_of(x) == ConvolutionKernel::three;
}

}  // namespace

int Plan::around(int number) const {
    const Operation& operation = graph_.operations[number];
    return operation.kind == Kind::convolution ? operation.kernel / 2 : 0;
}

bool Plan::may_be_in_chain(int number, const Shape& like) const {
    const Operation& operation = graph_.operations[number];
    const auto fits = [&](int input) {
        const int value = resolve(input);
        return value != kNone && value == input && !network_.storage[value].packed &&
               shape(value) == like;
    };
    // A single pixel that counts for all of them, which was computed before.
    const auto counts_for_all = [&](int input) {
        return (operation.kind == Kind::sum || operation.kind == Kind::product) &&
               graph_.values[input].grid.one_pixel() && network_.storage[input].layout.plain &&
               resolve(input) == input && !network_.storage[input].packed;
    };
    if (!fits(operation.output) ||
        !std::all_of(operation.inputs.begin(), operation.inputs.end(),
                     [&](int input) { return fits(input) || counts_for_all(input); })) {
        return false;
    }
    switch (operation.kind) {
        case Kind::convolution:
            return operation.stride == 1 && operation.padding != cpu::Padding::valid &&
                   (!is_three(operation) || kernels_.computes_parts());
        case Kind::sum:
        case Kind::product:
        case Kind::layer_norm:
        case Kind::concatenate:
        case Kind::slice:
            return true;
        case Kind::reduce:
            return operation.over == Operation::Over::channels;
        default:
            return false;
    }
}

bool Plan::overlap(int a, int b) const {
    const Storage &x = network_.storage[a], &y = network_.storage[b];
    return x.plane == y.plane && x.element < y.element + y.layout.elements() &&
           y.element < x.element + x.layout.elements();
}

bool Plan::is_inner(int value, int begin, int end) const {
    const Written& written = written_[value];
    return last_read_[value] < end && written.first >= begin && written.last < end &&
           !written.wanted;
}

bool Plan::is_wanted(int value) const {
    return std::any_of(request_.wanted.begin(), request_.wanted.end(), [&](int output) {
        return resolve(graph_.outputs[output].value) == value;
    });
}

void Plan::find_readers() {
    const auto& operations = graph_.operations;
    const int inputs = static_cast<int>(graph_.inputs.size());
    written_.resize(graph_.values.size());
    for (int v = 0; v < static_cast<int>(graph_.values.size()); ++v) {
        Written& written = written_[root(v)];
        written.first = std::min(written.first, v - inputs);
        written.last = std::max(written.last, v - inputs);
        written.wanted = written.wanted || is_wanted(v);
    }
    readers_.resize(operations.size());
    for (int j = 0; j < static_cast<int>(operations.size()); ++j) {
        for (std::size_t k = 0; needed_[j] && k < operations[j].inputs.size(); ++k) {
            const int read = resolve(operations[j].inputs[k]);
            for (int i = 0; read != kNone && i < j; ++i) {
                if (needed_[i] && overlap(read, operations[i].output)) {
                    readers_[i].push_back({j, k == 0 ? around(j) : 0});
                }
            }
        }
    }
}

int Plan::columns_of_chain(int begin, int end) const {
    const auto& operations = graph_.operations;
    std::vector<int> reach(static_cast<std::size_t>(end - begin));
    int farthest = 0;
    std::size_t bytes = 0;
    for (int i = end; i-- > begin;) {
        if (!needed_[i]) {
            continue;
        }
        const int value = operations[i].output;
        // Part of a plane of which others write or read a part.
        const bool outside = !is_inner(root(value), begin, end);
        int nearest = 0, beyond = 0, &farther = reach[i - begin];
        for (const Reader& reader : readers_[i]) {
            if (reader.number < end) {
                const int of_reader = reach[reader.number - begin];
                farther = std::max(farther, of_reader + reader.around);
                nearest = std::min(nearest, of_reader - reader.around);
                if (reader.around > 0 && is_three(operations[reader.number])) {
                    beyond = cpu::Plane::kBefore + cpu::Plane::kAfter;
                }
            }
        }
        // What is written for others is written once: no one in the chain needs more of it.
        if (outside && farther > 0) {
            return 0;
        }
        if (!outside) {
            bytes += static_cast<std::size_t>(Chain::kBand + farther - nearest + beyond) *
                     network_.storage[value].layout.elements() * kernels_.element();
        }
        farthest = std::max(farthest, farther);
    }
    if (bytes == 0) {
        return 0;
    }
    const int width = shape(operations[begin].output).width;
    const int columns = std::max(Chain::kColumns, static_cast<int>(own_cache() / bytes));
    return columns >= std::min(width, kColumnsOfReach * farthest) ? columns : 0;
}

int Plan::chain_end(int begin) {
    int best = begin + 1;
    const int value = graph_.operations[begin].output;
    if (network_.storage[value].packed) {
        return best;
    }
    const Shape like = shape(value);
    // Of what a step reads and writes each thread has its part.
    const std::size_t plane = std::size_t{2} * like.images * like.height * like.width *
                              network_.storage[value].layout.elements() * kernels_.element();
    const std::size_t part = plane / static_cast<std::size_t>(threads_);
    if (part <= own_cache()) {
        return best;
    }
    if (readers_.empty()) {
        find_readers();
    }
    const int most = std::min(begin + kMostSteps, static_cast<int>(graph_.operations.size()));
    for (int end = begin; end < most && (!needed_[end] || may_be_in_chain(end, like)); ++end) {
        if (const int columns = end > begin && needed_[end] ? columns_of_chain(begin, end + 1) : 0) {
            best = end + 1;
            columns_ = columns;
        }
    }
    const bool convolved = std::all_of(graph_.operations.begin() + begin,
                                       graph_.operations.begin() + best, is_three);
    return convolved && part <= kConvolved ? begin + 1 : best;
}

void Plan::compute_chain(int begin, int end) {
    chain_begin_ = begin;
    chain_end_ = end;
    chain_ = std::make_shared<Chain>(kernels_, shape(graph_.operations[begin].output));
    for (int i = begin; i < end; ++i) {
        if (needed_[i]) {
            compute(i);
        }
    }
    most_scratch_ = std::max(most_scratch_, chain_->plan(threads_, columns_, arena_));
    steps_.push_back({nullptr, {}, kNone, kNone, std::move(chain_)});
    chain_ = nullptr;
    // Copies that the chain made for itself are no one else's.
    for (auto* planes : {&planes_, &plain_, &whole_}) {
        for (auto it = planes->begin(); it != planes->end();) {
            it = it->second.inner ? planes->erase(it) : std::next(it);
        }
    }
    for (int i = begin; i < end; ++i) {
        if (needed_[i]) {
            give(graph_.operations[i].output);
        }
    }
}

}  // namespace imagen_fast
