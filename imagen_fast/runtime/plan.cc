#include "plan.h"

#include <chrono>
#include <functional>
#include <utility>

namespace imagen_fast {

constexpr std::chrono::milliseconds kAskEvery{50};

// The planes of one level. Blocks read one of the two working planes and write the other; features
// keep the encoder's output, which the decoder reads as skip and as context.
struct Plan::Level {
    cpu::Plane features, work[2];

    const cpu::Plane& next(const cpu::Plane& x) const {
        return work[x.data == work[0].data ? 1 : 0];
    }
};

Plan::Plan(const Spec& spec, const Network& network, const cpu::KernelSet& kernels,
           const Shape& shape, int threads)
    : kernels_(kernels) {
    if (spec.architecture == "listing") {
        listing(spec, network, kernels, shape);
    } else {
        hierarchical(spec, network, kernels, shape);
    }
    for (int i = 0; i < threads; ++i) {
        scratch_.emplace_back(most_scratch_);
    }
}

void Plan::listing(const Spec& spec, const Network& network, const cpu::KernelSet& kernels,
                   const Shape& shape) {
    const int channels = spec.levels[0].channels;
    cpu::Plane x = plane(kernels, shape, channels), next = plane(kernels, shape, channels);
    cpu::Args args;
    args.out = x;
    add(network.stem.get(), args);
    for (const AttentionOps& attention : network.listing) {
        args = {};
        args.x = args.other = x;
        args.out = next;
        attend(attention, kernels, args);
        std::swap(x, next);
    }
    args = {};
    args.x = x;
    add(network.head.get(), args);
}

void Plan::hierarchical(const Spec& spec, const Network& network, const cpu::KernelSet& kernels,
                        const Shape& shape) {
    std::vector<Level> levels;
    Shape size = shape;
    for (const auto& level : spec.levels) {
        levels.push_back({plane(kernels, size, level.channels),
                          {plane(kernels, size, level.channels),
                           plane(kernels, size, level.channels)}});
        size = {size.images, (size.height + 1) / 2, (size.width + 1) / 2};
    }
    const cpu::Plane stem = plane(kernels, shape, spec.levels[0].channels);

    cpu::Args args;
    args.out = stem;
    add(network.stem.get(), args);
    cpu::Plane x = stem;
    for (std::size_t l = 0; l < levels.size(); ++l) {
        if (l > 0) {
            args = {};
            args.x = x;
            args.out = levels[l].work[0];
            add(network.downs[l - 1].get(), args);
            x = args.out;
        }
        x = stages(network.encoder[l], kernels, levels[l], x, nullptr, &levels[l].features,
                   nullptr);
    }
    for (std::size_t l = levels.size(); l-- > 0;) {
        if (l + 1 < levels.size()) {
            args = {};
            args.x = x;
            args.other = levels[l].features;
            args.out = levels[l].work[0];
            add(network.ups[l].get(), args);
            x = args.out;
        }
        x = stages(network.decoder[l], kernels, levels[l], x, &levels[l].features, nullptr,
                   l == 0 ? &stem : nullptr);
    }
    args = {};
    args.x = x;
    add(network.head.get(), args);
}

// The last attention block writes to `result` if it is given, and adds `also`.
cpu::Plane Plan::stages(const std::vector<Stage>& stages, const cpu::KernelSet& kernels,
                        Level& level, cpu::Plane x, const cpu::Plane* context,
                        const cpu::Plane* result, const cpu::Plane* also) {
    for (const Stage& stage : stages) {
        cpu::Args args;
        for (const auto& conv : stage.convs) {
            args.x = x;
            args.out = level.next(x);
            add(conv.get(), args);
            x = args.out;
        }
        const bool last = &stage == &stages.back();
        args.x = x;
        args.other = context ? *context : x;
        args.also = last && also ? *also : cpu::Plane{};
        args.out = last && result ? *result : level.next(x);
        attend(stage.attention, kernels, args);
        x = args.out;
    }
    return x;
}

void Plan::attend(const AttentionOps& ops, const cpu::KernelSet& kernels, cpu::Args args) {
    if (ops.window) {
        add(ops.window.get(), args);
        return;
    }
    buffers_.emplace_back(kernels.shared(*ops.keys, args.other));
    args.shared = buffers_.back().data();
    add(ops.keys.get(), args);
    add(ops.queries.get(), args);
}

void Plan::add(const cpu::Op* op, const cpu::Args& args) {
    steps_.push_back({op, args});
    steps_.back().args.not_finite = &not_finite_;
    const std::size_t scratch = op->scratch(args);
    most_scratch_ = scratch > most_scratch_ ? scratch : most_scratch_;
}

cpu::Plane Plan::plane(const cpu::KernelSet& kernels, const Shape& shape, int channels) {
    cpu::Plane plane{nullptr, shape.images, shape.height, shape.width,
                     cpu::round_up(channels, cpu::kChannelMultiple)};
    buffers_.emplace_back(plane.elements() * kernels.element());
    plane.data = buffers_.back().data();
    return plane;
}

Outcome Plan::run(Pool& pool, const void* image, void* picture, bool bytes,
                  const std::function<bool()>& stop, std::atomic<bool>& cancelled) {
    using Clock = std::chrono::steady_clock;
    not_finite_.store(false, std::memory_order_relaxed);
    auto ask = Clock::now() + kAskEvery;
    for (Step& step : steps_) {
        step.args.image = image;
        step.args.picture = picture;
        step.args.bytes = bytes;
        const auto work = [&](int block, int thread) {
            if (thread == 0 && stop && Clock::now() > ask) {
                ask = Clock::now() + kAskEvery;
                if (stop()) {
                    cancelled.store(true, std::memory_order_relaxed);
                }
            }
            if (!cancelled.load(std::memory_order_relaxed)) {
                kernels_.run(*step.op, block, step.args,
                             static_cast<std::byte*>(scratch_[thread].data()));
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
