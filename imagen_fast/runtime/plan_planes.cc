// Where the values of a plan lie: planes taken, loaded, copied into another order.
#include <cstdint>
#include <string>

#include "error.h"
#include "plan.h"

namespace imagen_fast {

namespace {

// Bytes of a plane that is written past the caches: who reads it finds little of it there, and to
// fetch what is overwritten would be a third of the traffic. (1024² pixels of 64 channels: -5 %.)
constexpr std::size_t kStreamed = 64 << 20;
constexpr std::int64_t kMostPixels = 1 << 28;  // of a plane: far beyond memory, and safe in an int

}  // namespace

Plan::Samples Plan::samples(int value) const {
    for (std::size_t i = 0; i < request_.given.size(); ++i) {
        if (request_.given[i].input == value) {
            return {nullptr, static_cast<int>(i), request_.bytes && graph_.inputs[value].picture};
        }
    }
    return {packed_.at(value)};
}

cpu::Plane Plan::plane(int value) {
    const Storage& stored = network_.storage[value];
    if (stored.packed && !planes_.count(value)) {
        const Samples image = samples(value);
        const cpu::Plane loaded = take(shape(value), stored.layout.elements());
        planes_[value] = loaded;
        made_.emplace_back(kernels_.rows_in(graph_.values[value].channels));
        cpu::Args args;
        args.image = image.data;
        args.out = loaded;
        add(made_.back().get(), args, image.array, kNone, image.bytes);
    }
    cpu::Plane plane = planes_.at(stored.plane);
    plane.data = static_cast<std::byte*>(plane.data) +
                 stored.element * static_cast<std::ptrdiff_t>(kernels_.element());
    plane.channels = stored.layout.elements();
    return plane;
}

cpu::Plane Plan::plain(int value) {
    const Layout& layout = network_.storage[value].layout;
    if (layout.plain) {
        return plane(value);
    }
    if (!plain_.count(value)) {
        std::vector<int> order(Layout::of(graph_.values[value].channels).channel);
        for (int i = 0; i < layout.elements(); ++i) {
            if (layout.channel[i] >= 0) {
                order[layout.channel[i]] = i;
            }
        }
        const cpu::Plane from = plane(value);
        const cpu::Plane to = chain_ ? chain_->take(static_cast<int>(order.size()))
                                     : take(shape(value), static_cast<int>(order.size()));
        copy(from, to, order);
        plain_[value] = to;
    }
    return plain_[value];
}

cpu::Plane Plan::whole(int value) {
    const cpu::Plane from = plain(value);
    if (from.whole()) {
        return from;
    }
    if (!whole_.count(value)) {
        const cpu::Plane to = take(shape(value), from.channels);
        copy(from, to, Layout::of(graph_.values[value].channels).channel);
        whole_[value] = to;
    }
    return whole_[value];
}

cpu::Plane Plan::into(int value) {
    const int root = this->root(value);
    if (!planes_.count(root)) {
        const int elements = network_.storage[root].layout.elements();
        planes_[root] = chain_ && is_inner(root, chain_begin_, chain_end_) ? chain_->take(elements)
                                                 : take(shape(value), elements);
    }
    return plane(value);
}

cpu::Plane Plan::take(const Shape& shape, int elements) {
    for (auto it = free_planes_.begin(); it != free_planes_.end(); ++it) {
        if (it->second == shape && it->first.pixel == elements) {
            const cpu::Plane plane = it->first;  // its border is zero already
            free_planes_.erase(it);
            return plane;
        }
    }
    if (std::int64_t{shape.height} * shape.width > kMostPixels / shape.images) {
        throw BackendError("cannot run tiles of which a value has " +
                           std::to_string(shape.height) + " x " + std::to_string(shape.width) +
                           " pixels; choose a smaller tile");
    }
    cpu::Plane plane{nullptr, shape.images, shape.height, shape.width, elements, elements};
    const std::size_t bytes = plane.elements() * kernels_.element();
    const Arena::Piece piece = arena_.take(bytes);
    plane.streamed = bytes > kStreamed;
    plane.data = piece.data;
    if (!piece.fresh) {
        clear_border(plane, kernels_.element());
    }
    return plane;
}

std::pair<std::size_t, void*> Plan::take(std::size_t bytes) {
    for (auto it = free_memory_.begin(); it != free_memory_.end(); ++it) {
        if (it->first == bytes) {
            const auto memory = *it;
            free_memory_.erase(it);
            return memory;
        }
    }
    return {bytes, arena_.take(bytes).data};
}

void Plan::copy(const cpu::Plane& from, const cpu::Plane& to, const std::vector<int>& order) {
    made_.emplace_back(kernels_.rearrange(order.data(), static_cast<int>(order.size())));
    cpu::Args args;
    args.x = from;
    args.out = to;
    add(made_.back().get(), args);
}

}  // namespace imagen_fast
