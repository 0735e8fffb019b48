#include "plan.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "error.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

constexpr std::chrono::milliseconds kAskEvery{50};

// Where the values begin that are added to the result.
std::size_t first_added(Kind kind) {
    return kind == Kind::window_attention || kind == Kind::global_attention ? 2 : 1;
}

}  // namespace

Plan::Plan(const Network& network, const cpu::KernelSet& kernels, const Request& request,
           int threads, Arena& arena)
    : network_(network),
      graph_(network.graph),
      kernels_(kernels),
      request_(request),
      arena_(arena),
      needed_(needed(network.graph, request)),
      threads_(threads) {
    find_last_reads();
    for (int v = 0; v < static_cast<int>(graph_.inputs.size()); ++v) {
        give(v);
    }
    for (int i = 0; i < static_cast<int>(graph_.operations.size()); ++i) {
        if (!needed_[i]) {
            continue;
        }
        if (const int end = chain_end(i); end > i + 1) {
            compute_chain(i, end);
            i = end - 1;
        } else {
            compute(i);
            give(graph_.operations[i].output);
        }
        release(i);
    }
    for (int i = 0; i < threads; ++i) {
        scratch_.push_back(arena_.take(most_scratch_).data);
    }
}

int Plan::resolve(int value) const { return given_for(graph_, request_, value); }

Shape Plan::shape(int value) const { return shape_of(graph_, request_, value); }

void Plan::find_last_reads() {
    last_read_.assign(graph_.values.size(), kNone);
    for (int i = 0; i < static_cast<int>(graph_.operations.size()); ++i) {
        if (!needed_[i]) {
            continue;
        }
        last_read_[root(graph_.operations[i].output)] = i;
        for (const int input : graph_.operations[i].inputs) {
            if (const int value = resolve(input); value != kNone) {
                last_read_[root(value)] = i;
            }
        }
    }
}

// An operation whose result may lie where its first input does: nobody reads that afterwards.
bool Plan::in_place(int number) const {
    const Operation& operation = graph_.operations[number];
    const int x = resolve(operation.inputs[0]), y = operation.output;
    const bool kind = operation.kind == Kind::window_attention || operation.kind == Kind::sum ||
                      operation.kind == Kind::product;
    return kind && !chain_ && graph_.values[x] == graph_.values[y] && root(x) == x &&
           root(y) == y && last_read_[x] == number && planes_.count(x) &&
           network_.storage[x].layout.plain;
}

void Plan::compute(int number) {
    const Operation& operation = graph_.operations[number];
    const Network::Operators& operators = network_.operators[number];
    const int x = resolve(operation.inputs[0]), second = resolve(operation.input(1));
    cpu::Args args;
    const bool attention = operation.kind == Kind::window_attention ||
                           operation.kind == Kind::global_attention;
    const bool adds = attention || operation.kind == Kind::convolution ||
                      operation.kind == Kind::sum || operation.kind == Kind::product;
    for (std::size_t i = first_added(operation.kind); adds && i < operation.inputs.size(); ++i) {
        const int value = resolve(operation.inputs[i]);
        args.added[args.additions++] = attention ? whole(value) : plain(value);
    }
    switch (operation.kind) {
        case Kind::concatenate:
            return concatenate(operation);
        case Kind::slice:
            if (root(operation.output) == operation.output) {  // it cannot be a part of its input
                std::vector<int> order(network_.storage[operation.output].layout.channel);
                for (int& channel : order) {
                    channel = channel < 0 ? -1 : channel + operation.first;
                }
                copy(plain(x), into(operation.output), order);
            }
            return;
        case Kind::halve:
            if (network_.storage[operation.output].packed) {
                return halve(number);
            }
            args.x = plain(x);
            break;
        case Kind::subpixel_convolution: {
            args.x = plane(x);
            const Samples base = second == kNone ? Samples{} : samples(second);
            args.image = base.data;
            int out = kNone;
            for (std::size_t i = 0; i < request_.wanted.size(); ++i) {
                if (graph_.outputs[request_.wanted[i]].value == operation.output) {
                    out = static_cast<int>(i);
                }
            }
            return add(operators[0].get(), args, base.array, out, request_.bytes);
        }
        case Kind::convolution:
            if (reads_picture(graph_, network_.storage, operation)) {
                const Samples image = samples(x);
                args.image = image.data;
                args.out = into(operation.output);
                return add(operators[0].get(), args, image.array, kNone, image.bytes);
            }
            switch (kernel_of(operation)) {
                case ConvolutionKernel::down:
                    args.x = whole(x);
                    break;
                case ConvolutionKernel::depthwise:
                    args.x = plain(x);
                    break;
                default:  // packed for the value that the operation names
                    args.x = x == operation.inputs[0] ? plane(x) : plain(x);
                    args.x.data = static_cast<std::byte*>(args.x.data) -
                                  lead(network_.storage, operation) *
                                      static_cast<std::ptrdiff_t>(kernels_.element());
            }
            if (kernel_of(operation) == ConvolutionKernel::three &&
                operation.padding == cpu::Padding::valid) {
                args.x = cpu::inside(args.x, 1, kernels_.element());
            }
            break;
        case Kind::sum:
        case Kind::product:
        case Kind::reduce:
        case Kind::layer_norm:
        case Kind::pixel_shuffle:
        case Kind::pixel_unshuffle:
        case Kind::nearest:
        case Kind::bilinear:
        case Kind::max_pool:
        case Kind::pad:
        case Kind::crop:
            args.x = plain(x);
            break;
        case Kind::transposed_convolution:
            args.other = second == kNone ? cpu::Plane{} : whole(second);
            args.x = whole(x);
            break;
        case Kind::window_attention:
        case Kind::global_attention:
        case Kind::attention_map:
            args.x = whole(x);
            args.other = second == kNone ? args.x : whole(second);
            break;
    }
    if (in_place(number)) {
        planes_[operation.output] = args.x;
        args.out = args.x;
        planes_.erase(x);
    } else {
        args.out = into(operation.output);
    }
    if (operators.size() == 1) {
        return add(operators[0].get(), args, kNone, kNone, false, around(number));
    }
    // Mean and deviation of a value have the first step in common.
    const bool repeatable = operation.kind == Kind::reduce &&
                            operation.function != cpu::Reduction::maximum;
    const auto known = repeatable ? reduced_.find(x) : reduced_.end();
    if (known != reduced_.end()) {
        args.shared = known->second.second;
        return add(operators[1].get(), args);
    }
    const std::pair<std::size_t, void*> memory = take(operators[0]->shared(args));
    args.shared = memory.second;
    add(operators[0].get(), args);
    add(operators[1].get(), args);
    if (repeatable) {
        reduced_[x] = memory;
    } else {
        free_memory_.push_back(memory);
    }
}

void Plan::concatenate(const Operation& operation) {
    const Storage& result = network_.storage[operation.output];
    int element = result.element;
    for (std::size_t place = 0; place < operation.inputs.size(); ++place) {
        const int input = operation.inputs[place];
        const int value = resolve(input), channels = graph_.values[input].channels;
        const Storage& part = network_.storage[value];
        // What stands in for an input has its channels one after the other, as the input would have.
        const bool stands_in = value != input;
        int elements = result.dense ? channels : network_.storage[input].layout.elements();
        const int end = element + elements;
        if (stands_in || part.plane != result.plane || part.element != element) {
            if (result.dense && place + 1 == operation.inputs.size()) {  // and what pads all of it
                elements = result.element + result.layout.elements() - element;
            }
            cpu::Plane target = into(operation.output);
            target.data = static_cast<std::byte*>(target.data) +
                          (element - result.element) *
                              static_cast<std::ptrdiff_t>(kernels_.element());
            target.channels = elements;
            std::vector<int> order(static_cast<std::size_t>(elements), -1);
            for (int i = 0; i < elements && !(result.dense && i >= channels); ++i) {
                order[i] = i;
            }
            copy(stands_in || result.dense ? plain(value) : plane(value), target, order);
        }
        element = end;
    }
}

// A picture of half the size in each direction, in memory: samples for the next one and for heads.
void Plan::halve(int number) {
    const Operation& operation = graph_.operations[number];
    const int x = operation.inputs[0], channels = graph_.values[x].channels;
    const Shape in = shape(x), out = shape(operation.output);
    const Samples image = samples(x);
    cpu::Args args;
    args.x = {nullptr, in.images, in.height, in.width, channels, channels};
    args.out = {nullptr, out.images, out.height, out.width, channels, channels};
    args.image = image.data;
    args.picture = take(sizeof(float) * out.images * out.height * out.width * channels).second;
    packed_[operation.output] = args.picture;
    add(network_.operators[number][0].get(), args, image.array);
}

// Hands a value out, where it is wanted and its operation has not done so.
void Plan::give(int value) {
    for (std::size_t i = 0; i < request_.wanted.size(); ++i) {
        const auto& output = graph_.outputs[request_.wanted[i]];
        const int number = value - static_cast<int>(graph_.inputs.size());
        if (resolve(output.value) != value ||
            (number >= 0 && writes_picture(graph_, graph_.operations[number]))) {
            continue;
        }
        cpu::Args args;
        args.x = plain(value);
        made_.emplace_back(kernels_.rows_out(graph_.values[value].channels, output.picture));
        add(made_.back().get(), args, kNone, static_cast<int>(i), request_.bytes && output.picture);
    }
}

// What nobody reads after this operation is free for what is computed next.
void Plan::release(int number) {
    const auto free = [&](std::map<int, cpu::Plane>& planes) {
        for (auto it = planes.begin(); it != planes.end();) {
            if (last_read_[root(it->first)] > number) {
                ++it;
                continue;
            }
            const cpu::Plane& plane = it->second;
            if (plane.inner) {
                it = planes.erase(it);
                continue;
            }
            free_planes_.push_back({plane, {plane.images, plane.height, plane.width}});
            it = planes.erase(it);
        }
    };
    free(planes_);
    free(plain_);
    free(whole_);
    for (auto it = reduced_.begin(); it != reduced_.end();) {
        if (last_read_[root(it->first)] > number) {
            ++it;
            continue;
        }
        free_memory_.push_back(it->second);
        it = reduced_.erase(it);
    }
}

void Plan::add(const cpu::Op* op, const cpu::Args& args, int in, int out, bool bytes, int around) {
    if (chain_) {
        return chain_->add(op, args, around);
    }
    steps_.push_back({op, args, in, out, nullptr});
    steps_.back().args.not_finite = &not_finite_;
    steps_.back().args.bytes = bytes;
    most_scratch_ = std::max(most_scratch_, op->scratch(args));
}

Outcome Plan::run(Pool& pool, const Arrays& arrays, const std::function<bool()>& stop,
                  std::atomic<bool>& cancelled) {
    using Clock = std::chrono::steady_clock;
    not_finite_.store(false, std::memory_order_relaxed);
    auto ask = Clock::now() + kAskEvery;
    for (Step& step : steps_) {
        if (step.in != kNone) {
            step.args.image = arrays.in[step.in];
        }
        if (step.out != kNone) {
            step.args.picture = arrays.out[step.out];
        }
        const auto work = [&](int block, int thread) {
            if (thread == 0 && stop && Clock::now() > ask) {
                ask = Clock::now() + kAskEvery;
                if (stop()) {
                    cancelled.store(true, std::memory_order_relaxed);
                }
            }
            if (cancelled.load(std::memory_order_relaxed)) {
                return;
            }
            if (step.chain) {
                step.chain->run(block, thread, static_cast<std::byte*>(scratch_[thread]),
                                cancelled);
            } else {
                kernels_.run(*step.op, block, step.args,
                             static_cast<std::byte*>(scratch_[thread]));
            }
        };
        pool.run(step.blocks(), std::cref(work));  // no copy, which might allocate
    }
    if (cancelled.load(std::memory_order_relaxed)) {
        return Outcome::cancelled;
    }
    return not_finite_.load(std::memory_order_relaxed) ? Outcome::not_finite : Outcome::done;
}

}  // namespace imagen_fast
