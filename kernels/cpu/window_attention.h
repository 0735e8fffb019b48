// x + attention(x, other) + added within windows, one window at a time from gather to store.
//
// Only the pixels of a window that are inside the picture become tokens: nothing is masked, and a
// window cut by the border costs less.
#pragma once

#include "attention.h"

namespace imagen_fast::cpu {

// Where the windows of a plane lie.
struct Window {
    struct Side {
        int start;       // where the window starts, maybe outside the picture
        int begin, end;  // its part inside
    };
    int n;
    Side y, x;
    int size;

    IMAGEN_INLINE int tokens() const { return (y.end - y.begin) * (x.end - x.begin); }
    IMAGEN_INLINE int cell(int at_y, int at_x) const {
        return (at_y - y.start) * size + at_x - x.start;
    }
};
struct Windows {
    int size, shift;

    IMAGEN_INLINE int count(const Plane& x) const {
        return x.images * along(x.height) * along(x.width);
    }
    IMAGEN_INLINE Window at(int index, const Plane& x) const {
        const int columns = along(x.width), rows = along(x.height);
        return {index / columns / rows, side(index / columns % rows, x.height),
                side(index % columns, x.width), size};
    }

private:
    IMAGEN_INLINE int along(int length) const { return (length + shift + size - 1) / size; }
    IMAGEN_INLINE Window::Side side(int index, int length) const {
        const int start = index * size - shift, end = start + size;
        return {start, start < 0 ? 0 : start, end < length ? end : length};
    }
};

// Pixels + position (window², C) → (tokens, C)
template <class S>
void gather(const Plane& plane, const Window& window, const Buffer& position, int channels,
            typename S::Scalar* out) {
    for (int y = window.y.begin; y < window.y.end; ++y) {
        for (int x = window.x.begin; x < window.x.end; ++x, out += channels) {
            const auto* in = plane.at<typename S::Scalar>(window.n, y, x);
            const float* here =
                static_cast<const float*>(position.data()) + window.cell(y, x) * channels;
            for (int c = 0; c < channels; c += S::lanes) {
                S::store(out + c, S::add(S::load(in + c), S::load(here + c)));
            }
        }
    }
}

template <class S>
class WindowAttention final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit WindowAttention(const Attention& a)
        : core_(a),
          windows_{a.window, a.shift},
          position_(a.window * a.window * core_.channels() * sizeof(float)) {
        for (int cell = 0; cell < a.window * a.window; ++cell) {
            for (int c = 0; c < a.channels; ++c) {
                static_cast<float*>(position_.data())[cell * core_.channels() + c] =
                    a.position[cell * a.channels + c];
            }
        }
    }

    int blocks(const Args& args) const override { return windows_.count(args.x); }
    std::size_t scratch(const Args&) const override {
        const int most = windows_.size * windows_.size;
        const std::size_t keys = core_.project_keys_scratch(AttentionCore<S>::padded(most));
        const std::size_t attend = core_.attend_scratch(most, most);
        return layout(most, Pieces(nullptr)).rest.used() + (keys > attend ? keys : attend);
    }

    // Block: one window.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const Window window = windows_.at(block, args.x);
        const int tokens = window.tokens();
        const Layout memory = layout(tokens, Pieces(scratch));
        gather<S>(args.x, window, position_, core_.channels(), memory.queries);
        const bool crossed = args.other.data != args.x.data;
        if (crossed) {
            gather<S>(args.other, window, position_, core_.channels(), memory.contexts);
        }
        const auto keys = core_.keys(memory.keys, tokens);
        core_.project_keys(crossed ? memory.contexts : memory.queries, 0, tokens,
                           AttentionCore<S>::padded(tokens), keys, memory.rest);
        core_.attend(memory.queries, tokens, keys, memory.result, memory.rest);
        scatter(args, window, memory.result);
    }

private:
    struct Layout {
        Scalar *queries, *contexts, *keys;
        float* result;
        Pieces rest;
    };

    Layout layout(int tokens, Pieces pieces) const {
        const int rows = AttentionCore<S>::rows(tokens);
        Layout r{pieces.take<Scalar>(rows * core_.channels()),
                 pieces.take<Scalar>(rows * core_.channels()),
                 pieces.take<Scalar>(core_.keys_elements(tokens)),
                 pieces.take<float>(rows * core_.result_width()), pieces};
        r.rest = pieces;
        return r;
    }

    void scatter(const Args& args, const Window& window, const float* result) const {
        const int channels = core_.channels();
        for (int y = window.y.begin; y < window.y.end; ++y) {
            for (int x = window.x.begin; x < window.x.end; ++x, result += core_.result_width()) {
                const Scalar* in = args.x.at<Scalar>(window.n, y, x);
                Scalar* out = args.out.at<Scalar>(window.n, y, x);
                for (int c = 0; c < channels; c += S::lanes) {
                    typename S::Vec sum = S::add(S::load(in + c), S::load(result + c));
                    for (int i = 0; i < args.additions; ++i) {
                        sum = S::add(sum, S::load(args.added[i].at<Scalar>(window.n, y, x) + c));
                    }
                    S::store(out + c, sum);
                }
            }
        }
    }

    AttentionCore<S> core_;
    Windows windows_;
    Buffer position_;
};

// What a set with a faster way of its own overloads for its type.
template <class S>
Op* new_window_attention(const Attention& a, const S&) {
    return new WindowAttention<S>(a);
}

}  // namespace imagen_fast::cpu
