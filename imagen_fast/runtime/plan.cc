#include "plan.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

namespace imagen_fast {

constexpr std::chrono::milliseconds kAskEvery{50};
// Bytes of a plane that is written past the caches: who reads it finds little of it there, and to
// fetch what is overwritten would be a third of the traffic. (1024² pixels of 64 channels: -5 %.)
constexpr std::size_t kStreamed = 64 << 20;

// The planes of one level. Blocks read one of the two working planes and write the other; features
// keep the encoder's output, which the decoder reads as skip and as context.
struct Plan::Level {
    Shape shape;
    cpu::Plane features, work[2];

    const cpu::Plane& next(const cpu::Plane& x) const {
        return work[x.data == work[0].data ? 1 : 0];
    }
};

std::vector<Shape> level_shapes(const Spec& spec, const Task& task, const Shape& in) {
    std::vector<Shape> shapes{in};
    while (shapes.size() < spec.levels.size()) {
        const Shape last = shapes.back();
        if (task.latent) {
            shapes.push_back({last.images, 2 * last.height, 2 * last.width});
        } else {
            shapes.push_back({last.images, (last.height + 1) / 2, (last.width + 1) / 2});
        }
    }
    if (task.latent) {
        std::reverse(shapes.begin(), shapes.end());
    }
    return shapes;
}

Plan::Plan(const Spec& spec, const Network& network, const cpu::KernelSet& kernels,
           const Task& task, const Shape& shape, int threads, Arena& arena)
    : kernels_(kernels), image_channels_(spec.image_channels), arena_(arena) {
    if (spec.architecture == "listing") {
        listing(spec, network, shape);
    } else {
        hierarchical(spec, network, task, shape);
    }
    for (int i = 0; i < threads; ++i) {
        scratch_.push_back(arena_.take(most_scratch_).data);
    }
}

void Plan::listing(const Spec& spec, const Network& network, const Shape& shape) {
    const int channels = spec.levels[0].channels;
    cpu::Plane x = plane(shape, channels), next = plane(shape, channels);
    cpu::Args args;
    args.out = x;
    add(network.rows_in[0].get(), args, 0);
    for (const AttentionOps& attention : network.listing) {
        args = {};
        args.x = args.other = x;
        args.out = next;
        attend(attention, args);
        std::swap(x, next);
    }
    args = {};
    args.x = x;
    add(network.rows_out[0].get(), args, kNone, 0);
}

void Plan::hierarchical(const Spec& spec, const Network& network, const Task& task,
                        const Shape& in) {
    std::vector<Level> levels;
    for (const Shape& shape : level_shapes(spec, task, in)) {
        const int channels = spec.levels[levels.size()].channels;
        levels.push_back({shape, {}, {plane(shape, channels), plane(shape, channels)}});
        if (!task.latent || task.context) {
            levels.back().features = plane(shape, channels);
        }
    }
    cpu::Args args;
    if (task.latent) {
        args.out = plane(in, spec.latent_channels);
        add(network.latent_in.get(), args, 0);
        args.x = args.out;
        args.out = levels.back().work[0];
        add(network.latent.get(), args);
        decode(network, task, levels, nullptr);
        return;
    }
    const cpu::Plane stem = encode(network, levels);
    if (task.result != Task::Result::features) {
        decode(network, task, levels, &stem);
        return;
    }
    for (std::size_t l = 0; l < levels.size(); ++l) {
        args = {};
        args.x = levels[l].features;
        add(network.rows_out[l].get(), args, kNone, static_cast<int>(l));
    }
}

// Fills every level's features; returns the stem's output, for the long skip.
cpu::Plane Plan::encode(const Network& network, std::vector<Level>& levels) {
    const cpu::Plane stem = plane(levels[0].shape, levels[0].work[0].channels);
    cpu::Args args;
    args.out = stem;
    add(network.stem.get(), args, 0);
    cpu::Plane x = stem;
    for (std::size_t l = 0; l < levels.size(); ++l) {
        if (l > 0) {
            args = {};
            args.x = x;
            args.out = levels[l].work[0];
            add(network.downs[l - 1].get(), args);
            x = args.out;
        }
        x = stages(network.encoder[l], levels[l], x, nullptr, &levels[l].features, nullptr);
    }
    return stem;
}

// From the coarsest features, or without a stem from what the latent left in the coarsest level.
void Plan::decode(const Network& network, const Task& task, std::vector<Level>& levels,
                  const cpu::Plane* stem) {
    cpu::Plane x = stem ? levels.back().features : levels.back().work[0];
    for (std::size_t l = levels.size(); l-- > 0;) {
        Level& level = levels[l];
        cpu::Args args;
        if (l + 1 < levels.size()) {
            args.x = x;
            args.other = stem ? level.features : cpu::Plane{};
            args.out = level.work[0];
            add(network.ups[l].get(), args);
            x = args.out;
        }
        cpu::Plane context = level.features;
        if (task.context) {
            if (stem) {
                context = plane(level.shape, context.channels);
            }
            args = {};
            args.out = context;
            add(network.rows_in[l].get(), args, 1 + static_cast<int>(l));
        }
        x = stages(network.decoder[l], level, x, context.data ? &context : nullptr, nullptr,
                   l == 0 ? stem : nullptr);
        if (l == 0 || task.result == Task::Result::pictures) {
            picture(network, task, levels, l, x);
        }
    }
}

void Plan::picture(const Network& network, const Task& task, const std::vector<Level>& levels,
                   std::size_t level, const cpu::Plane& x) {
    cpu::Args args;
    for (std::size_t l = bases_.size() + 1; l <= level && !task.latent; ++l) {
        const Shape& fine = levels[l - 1].shape;
        const Shape& half = levels[l].shape;
        const int channels = image_channels_;
        void* base =
            arena_.take(sizeof(float) * half.images * half.height * half.width * channels).data;
        args = {};
        args.x = {nullptr, fine.images, fine.height, fine.width, channels};
        args.out = {nullptr, half.images, half.height, half.width, channels};
        args.image = bases_.empty() ? nullptr : bases_.back();
        args.picture = base;
        add(network.halve.get(), args, bases_.empty() ? 0 : kNone);
        bases_.push_back(static_cast<float*>(base));
    }
    args = {};
    args.x = x;
    args.image = level > 0 && !task.latent ? bases_[level - 1] : nullptr;
    const int out = task.result == Task::Result::pictures ? static_cast<int>(level) : 0;
    add(network.heads[level].get(), args, level == 0 && !task.latent ? 0 : kNone, out);
}

// The last block writes to `result` if it is given, and its attention adds `also`. Attention within
// windows works in place, where its input is not needed any more: less memory passes by.
cpu::Plane Plan::stages(const std::vector<Stage>& stages, Level& level, cpu::Plane x,
                        const cpu::Plane* context, const cpu::Plane* result,
                        const cpu::Plane* also) {
    for (const Stage& stage : stages) {
        const bool last = &stage == &stages.back();
        cpu::Args args;
        for (const auto& conv : stage.convs) {
            args.x = x;
            args.out = last && result && &conv == &stage.convs.back() ? *result : level.next(x);
            add(conv.get(), args);
            x = args.out;
        }
        args.x = x;
        args.other = context ? *context : x;
        args.also = last && also ? *also : cpu::Plane{};
        const bool in_place = stage.attention.window && !stage.convs.empty();
        args.out = in_place ? x : last && result ? *result : level.next(x);
        attend(stage.attention, args);
        x = args.out;
    }
    return x;
}

void Plan::attend(const AttentionOps& ops, const cpu::Args& args) {
    if (ops.window) {
        add(ops.window.get(), args);
        return;
    }
    cpu::Args shared = args;
    shared.shared = arena_.take(kernels_.shared(*ops.keys, args.other)).data;
    add(ops.keys.get(), shared);
    add(ops.queries.get(), shared);
}

void Plan::add(const cpu::Op* op, const cpu::Args& args, int in, int out) {
    steps_.push_back({op, args, in, out});
    steps_.back().args.not_finite = &not_finite_;
    const std::size_t scratch = op->scratch(args);
    most_scratch_ = scratch > most_scratch_ ? scratch : most_scratch_;
}

cpu::Plane Plan::plane(const Shape& shape, int channels) {
    cpu::Plane plane{nullptr, shape.images, shape.height, shape.width,
                     cpu::round_up(channels, cpu::kChannelMultiple)};
    const Arena::Piece piece = arena_.take(plane.elements() * kernels_.element());
    plane.streamed = plane.elements() * kernels_.element() > kStreamed;
    plane.data = piece.data;
    if (!piece.fresh) {
        clear_border(plane, kernels_.element());
    }
    return plane;
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
        step.args.bytes = arrays.bytes;
        const auto work = [&](int block, int thread) {
            if (thread == 0 && stop && Clock::now() > ask) {
                ask = Clock::now() + kAskEvery;
                if (stop()) {
                    cancelled.store(true, std::memory_order_relaxed);
                }
            }
            if (!cancelled.load(std::memory_order_relaxed)) {
                kernels_.run(*step.op, block, step.args,
                             static_cast<std::byte*>(scratch_[thread]));
            }
        };
        pool.run(step.op->blocks(step.args), std::cref(work));  // no copy, which might allocate
    }
    if (cancelled.load(std::memory_order_relaxed)) {
        return Outcome::cancelled;
    }
    return not_finite_.load(std::memory_order_relaxed) ? Outcome::not_finite : Outcome::done;
}

}  // namespace imagen_fast
