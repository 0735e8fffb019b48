// x + attention(x, other) + also within windows, one window at a time from gather to store.
//
// Only the pixels of a window that are inside the picture become tokens: nothing is masked, and a
// window cut by the border costs less.
#pragma once

#include "attention.h"

namespace imagen_fast::cpu {

template <class S>
class WindowAttention final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit WindowAttention(const Attention& a)
        : core_(a),
          window_(a.window),
          shift_(a.shift),
          position_(a.window * a.window * core_.channels() * sizeof(float)) {
        for (int cell = 0; cell < a.window * a.window; ++cell) {
            for (int c = 0; c < a.channels; ++c) {
                static_cast<float*>(position_.data())[cell * core_.channels() + c] =
                    a.position[cell * a.channels + c];
            }
        }
    }

    int blocks(const Args& args) const override {
        return args.x.images * along(args.x.height) * along(args.x.width);
    }
    std::size_t scratch(const Args&) const override {
        const int most = window_ * window_;
        const std::size_t keys = core_.project_keys_scratch(AttentionCore<S>::padded(most));
        const std::size_t attend = core_.attend_scratch(most, most);
        return layout(most, Pieces(nullptr)).rest.used() + (keys > attend ? keys : attend);
    }

    // Block: one window.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int columns = along(args.x.width), rows = along(args.x.height);
        const int n = block / columns / rows;
        const Inside y = inside(block / columns % rows, args.x.height);
        const Inside x = inside(block % columns, args.x.width);
        const Area area{n, y, x};
        const int tokens = (y.end - y.begin) * (x.end - x.begin);
        const Layout memory = layout(tokens, Pieces(scratch));
        gather(args.x, area, memory.queries);
        const bool crossed = args.other.data != args.x.data;
        if (crossed) {
            gather(args.other, area, memory.contexts);
        }
        const auto keys = core_.keys(memory.keys, tokens);
        core_.project_keys(crossed ? memory.contexts : memory.queries, 0, tokens,
                           AttentionCore<S>::padded(tokens), keys, memory.rest);
        core_.attend(memory.queries, tokens, keys, memory.result, memory.rest);
        scatter(args, area, memory.result);
    }

private:
    struct Inside {
        int start;       // where the window starts, maybe outside the picture
        int begin, end;  // its part inside
    };
    struct Area {
        int n;
        Inside y, x;
    };
    struct Layout {
        Scalar *queries, *contexts, *keys;
        float* result;
        Pieces rest;
    };

    int along(int size) const { return (size + shift_ + window_ - 1) / window_; }
    Inside inside(int index, int size) const {
        const int start = index * window_ - shift_, end = start + window_;
        return {start, start < 0 ? 0 : start, end < size ? end : size};
    }
    Layout layout(int tokens, Pieces pieces) const {
        const int rows = AttentionCore<S>::rows(tokens);
        Layout r{pieces.take<Scalar>(rows * core_.channels()),
                 pieces.take<Scalar>(rows * core_.channels()),
                 pieces.take<Scalar>(core_.keys_elements(tokens)),
                 pieces.take<float>(rows * core_.result_width()), pieces};
        r.rest = pieces;
        return r;
    }

    // Pixels + position → (tokens, C)
    void gather(const Plane& plane, const Area& area, Scalar* out) const {
        const int channels = core_.channels();
        for (int y = area.y.begin; y < area.y.end; ++y) {
            for (int x = area.x.begin; x < area.x.end; ++x, out += channels) {
                const Scalar* in = plane.at<Scalar>(area.n, y, x);
                const int cell = (y - area.y.start) * window_ + x - area.x.start;
                const float* position =
                    static_cast<const float*>(position_.data()) + cell * channels;
                for (int c = 0; c < channels; c += S::lanes) {
                    S::store(out + c, S::add(S::load(in + c), S::load(position + c)));
                }
            }
        }
    }
    void scatter(const Args& args, const Area& area, const float* result) const {
        const int channels = core_.channels();
        for (int y = area.y.begin; y < area.y.end; ++y) {
            for (int x = area.x.begin; x < area.x.end; ++x, result += core_.result_width()) {
                const Scalar* in = args.x.at<Scalar>(area.n, y, x);
                const Scalar* also = args.also.data ? args.also.at<Scalar>(area.n, y, x) : nullptr;
                Scalar* out = args.out.at<Scalar>(area.n, y, x);
                for (int c = 0; c < channels; c += S::lanes) {
                    typename S::Vec sum = S::add(S::load(in + c), S::load(result + c));
                    if (also) {
                        sum = S::add(sum, S::load(also + c));
                    }
                    S::store(out + c, sum);
                }
            }
        }
    }

    AttentionCore<S> core_;
    int window_, shift_;
    Buffer position_;
};

}  // namespace imagen_fast::cpu
