#include "chain.h"

#include <algorithm>
#include <cstring>

namespace imagen_fast {

namespace {

constexpr int kAround = cpu::Plane::kBefore + cpu::Plane::kAfter;
constexpr int kLeastRows = 32;  // of a part
// Where the planes of buffers seem to begin; `inner` says which buffer it is.
std::byte* const kStart = reinterpret_cast<std::byte*>(64);

int divided(int value, int by) { return (value + by - 1) / by; }

}  // namespace

struct Chain::State {
    int thread, image, top, bottom, left, right;  // the part of the picture
    std::vector<int> first;                       // row of the picture at the top of each buffer
    std::vector<int> done;                        // rows that each step has computed
    std::vector<int> keep, end;                   // of buffers: rows that are read, and are there
};

Chain::Chain(const cpu::KernelSet& kernels, const Shape& shape)
    : kernels_(kernels), shape_(shape) {}

Chain::~Chain() = default;

cpu::Plane Chain::take(int elements) {
    buffers_.push_back({elements, 0, 0, {}});
    cpu::Plane plane{kStart, 1, shape_.height, shape_.width, elements, elements};
    plane.inner = static_cast<int>(buffers_.size());
    return plane;
}

void Chain::add(const cpu::Op* op, const cpu::Args& args, int reach) {
    steps_.push_back({op, args, reach});
}

template <class Each>
void Chain::visit_read(const Step& step, Each each) {
    const auto visit = [&](const cpu::Plane& plane, int around) {
        if (plane.inner) {
            each(plane.inner - 1, around);
        }
    };
    visit(step.args.x, step.around);
    for (int i = 0; i < step.args.additions; ++i) {
        visit(step.args.added[i], 0);
    }
}

void Chain::find_reaches() {
    for (bool changed = true; changed;) {
        changed = false;
        for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
            const int inner = step->args.out.inner;
            step->reach = inner ? buffers_[inner - 1].reach : 0;
            visit_read(*step, [&](int buffer, int around) {
                int& reach = buffers_[buffer].reach;
                changed = changed || reach < step->reach + around;
                reach = std::max(reach, step->reach + around);
            });
        }
    }
    for (const Step& step : steps_) {
        farthest_ = std::max(farthest_, step.reach);
        visit_read(step, [&](int buffer, int around) {
            Buffer& read = buffers_[buffer];
            read.lag = std::max(read.lag, read.reach - step.reach + around);
        });
    }
}

// The parts that take least time: the rows, with those above and below a part that are computed
// twice, of the thread that computes most blocks. What another thread waits for it at the end, since
// no two are equally fast, is an eighth of a block.
void Chain::cut(int threads) {
    int twice = 0;  // rows of all steps
    for (const Step& step : steps_) {
        twice += 2 * step.reach;
    }
    double least = 0;
    for (int parts = 1; parts <= std::max(1, shape_.height / kLeastRows); ++parts) {
        const int rows = cpu::round_up(divided(shape_.height, parts), kBand);
        const int blocks = shape_.images * strips_ * divided(shape_.height, rows);
        const double of_one = static_cast<double>(rows) * static_cast<double>(steps_.size()) + twice;
        const double time = (divided(blocks, threads) + (threads > 1 ? 0.125 : 0.0)) * of_one;
        if (parts == 1 || time < least) {
            least = time;
            part_ = rows;
        }
    }
    parts_ = divided(shape_.height, part_);
}

std::size_t Chain::plan(int threads, int columns, Arena& arena) {
    find_reaches();
    strips_ = divided(shape_.width, columns);
    // What is computed twice at its sides makes a strip as wide as whole tiles.
    const int twice = strips_ > 1 ? 2 * farthest_ : 0;
    strip_ = cpu::round_up(divided(shape_.width, strips_) + twice, kColumns) - twice;
    strips_ = divided(shape_.width, strip_);
    cut(threads);
    const int wide = std::min(strip_ + 2 * farthest_, shape_.width) + kAround;
    for (Buffer& buffer : buffers_) {
        const std::size_t rows = kBand + buffer.lag + kAround;
        const std::size_t elements = (rows * wide + cpu::Plane::kAfterLast) * buffer.elements;
        for (int i = 0; i < threads; ++i) {
            buffer.memory.push_back(arena.take(elements * kernels_.element()).data);
        }
    }
    State state{};
    state.done.resize(steps_.size());
    state.first.resize(buffers_.size());
    state.keep = state.end = state.first;
    states_.assign(static_cast<std::size_t>(threads), state);
    std::size_t scratch = 0;
    for (const Step& step : steps_) {
        scratch = std::max(scratch, step.op->scratch(step.args));
    }
    return scratch;
}

cpu::Plane Chain::part(const cpu::Plane& plane, const State& at, int from, int to, int left,
                       int right) const {
    cpu::Plane part = plane;
    part.images = 1;
    const auto element = static_cast<std::ptrdiff_t>(kernels_.element());
    if (!plane.inner && plane.height == 1 && plane.width == 1) {  // a pixel that counts for all
        part.data = static_cast<std::byte*>(plane.data) + at.image * plane.image() * element;
        return part;
    }
    part.height = to - from;
    part.width = right - left;
    part.above = from;
    part.below = shape_.height - to;
    part.left = left;
    part.right = shape_.width - right;
    if (plane.inner) {
        const int number = plane.inner - 1;
        const Buffer& buffer = buffers_[number];
        const int begin = std::max(0, at.left - buffer.reach);
        part.line = std::min(shape_.width, at.right + buffer.reach) - begin + kAround;
        part.data = static_cast<std::byte*>(buffer.memory[at.thread]) +
                    (static_cast<std::byte*>(plane.data) - kStart) +
                    ((from - at.first[number]) * part.row() +
                     static_cast<std::ptrdiff_t>(left - begin) * part.pixel) *
                        element;
    } else {
        part.line = static_cast<int>(plane.row() / plane.pixel);
        part.data = static_cast<std::byte*>(plane.data) +
                    (at.image * plane.image() + from * plane.row() +
                     static_cast<std::ptrdiff_t>(left) * plane.pixel) *
                        element;
    }
    return part;
}

void Chain::compute(const Step& step, State& at, int from, int to, std::byte* scratch) const {
    const int left = std::max(0, at.left - step.reach);
    const int right = std::min(shape_.width, at.right + step.reach);
    cpu::Args args;
    const auto here = [&](const cpu::Plane& plane) {
        return part(plane, at, from, to, left, right);
    };
    args.x = here(step.args.x);
    args.out = here(step.args.out);
    args.additions = step.args.additions;
    for (int i = 0; i < args.additions; ++i) {
        args.added[i] = here(step.args.added[i]);
    }
    args.not_finite = step.args.not_finite;
    const int blocks = step.op->blocks(args);
    for (int block = 0; block < blocks; ++block) {
        kernels_.run(*step.op, block, args, scratch);
    }
    if (to == shape_.height && step.args.out.inner) {
        // Below the picture are zeros.
        const Buffer& buffer = buffers_[step.args.out.inner - 1];
        const int last = to - at.first[step.args.out.inner - 1];  // of its rows
        cpu::Plane below = part(step.args.out, at, to, to + 1, left, right);
        below.data = buffer.memory[at.thread];
        const std::ptrdiff_t rows = kBand + buffer.lag + kAround - (last + cpu::Plane::kBefore);
        if (rows > 0) {
            std::memset(static_cast<std::byte*>(below.data) +
                            (last + cpu::Plane::kBefore) * below.row() *
                                static_cast<std::ptrdiff_t>(kernels_.element()),
                        0, rows * below.row() * kernels_.element());
        }
    }
}

// The rows that are still read become the first ones of their buffers.
void Chain::move_up(State& at) const {
    std::fill(at.keep.begin(), at.keep.end(), shape_.height);
    std::fill(at.end.begin(), at.end.end(), 0);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        visit_read(steps_[i], [&](int buffer, int around) {
            at.keep[buffer] = std::min(at.keep[buffer], std::max(0, at.done[i] - around));
        });
        if (const int inner = steps_[i].args.out.inner) {
            at.end[inner - 1] = std::max(at.end[inner - 1], at.done[i]);
        }
    }
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        const Buffer& buffer = buffers_[i];
        const int up = at.keep[i] - at.first[i];
        if (up <= 0) {
            continue;
        }
        const int wide = std::min(shape_.width, at.right + buffer.reach) -
                         std::max(0, at.left - buffer.reach) + kAround;
        const std::size_t row = static_cast<std::size_t>(wide) * buffer.elements * kernels_.element();
        auto* rows = static_cast<std::byte*>(buffer.memory[at.thread]) + cpu::Plane::kBefore * row;
        const int zeros = at.end[i] == shape_.height ? cpu::Plane::kAfter : 0;  // below the picture
        const int kept = std::max(0, at.end[i] - at.keep[i]) + zeros;
        std::memmove(rows, rows + up * row, kept * row);
        at.first[i] = at.keep[i];
    }
}

void Chain::run(int block, int thread, std::byte* scratch,
                const std::atomic<bool>& cancelled) const {
    State& at = states_[thread];
    at.thread = thread;
    at.left = block % strips_ * strip_;
    at.right = std::min(shape_.width, at.left + strip_);
    at.top = block / strips_ % parts_ * part_;
    at.bottom = std::min(shape_.height, at.top + part_);
    at.image = block / strips_ / parts_;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        at.done[i] = std::max(0, at.top - steps_[i].reach);
    }
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        const Buffer& buffer = buffers_[i];
        at.first[i] = std::max(0, at.top - buffer.reach);
        const int wide = std::min(shape_.width, at.right + buffer.reach) -
                         std::max(0, at.left - buffer.reach) + kAround;
        const std::size_t rows = kBand + buffer.lag + kAround;
        std::memset(buffer.memory[thread], 0,
                    (rows * wide + cpu::Plane::kAfterLast) * buffer.elements * kernels_.element());
    }
    for (int end = at.top - 2 * farthest_; end < at.bottom;) {
        end = std::min(at.bottom, end + kBand);
        if (cancelled.load(std::memory_order_relaxed)) {
            return;
        }
        move_up(at);
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            const int to = std::min(shape_.height, end + steps_[i].reach);
            if (to > at.done[i]) {
                compute(steps_[i], at, at.done[i], to, scratch);
                at.done[i] = to;
            }
        }
    }
}

}  // namespace imagen_fast
