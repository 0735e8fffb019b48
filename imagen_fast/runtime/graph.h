// A network as a list of operations, as imagen_fast/graph writes it: imagen_fast/graph/graph.py and
// kinds.py explain what the names mean. Read from files, so nothing in it is trusted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "../../kernels/cpu/op.h"

namespace imagen_fast {

constexpr int kNone = -1;  // a value that is left out, an input that there is none of

// Relative to the input number `of`: (factor · ⌈height / 2^halvings⌉ + around, …); of kNone: a
// single pixel, of the whole picture.
struct Grid {
    int of = 0, halvings = 0, factor = 1, around = 0;

    bool operator==(const Grid& o) const {
        return of == o.of && halvings == o.halvings && factor == o.factor && around == o.around;
    }
    bool one_pixel() const { return of == kNone; }
    std::int64_t size(std::int64_t of_input) const {
        const std::int64_t part = std::int64_t{1} << halvings;
        return one_pixel() ? 1 : factor * ((of_input + part - 1) / part) + around;
    }
};

struct Value {
    std::string name;
    int channels = 0;
    Grid grid;

    bool operator==(const Value& o) const { return channels == o.channels && grid == o.grid; }
};

struct Operation {
    enum class Kind {
        convolution,
        subpixel_convolution,
        transposed_convolution,
        window_attention,
        global_attention,
        attention_map,
        sum,
        product,
        reduce,
        layer_norm,
        concatenate,
        slice,
        pixel_shuffle,
        pixel_unshuffle,
        nearest,
        bilinear,
        halve,
        max_pool,
        pad,
        crop
    };
    enum class Over { picture, channels };

    Kind kind{};
    int output = kNone;
    std::vector<int> inputs;  // numbers of values, or kNone
    std::map<std::string, std::string, std::less<>> tensors;  // names by role
    // Those of its kind; others keep these values.
    int channels = 0, kernel = 3, stride = 1, factor = 1, head_dim = 0, window = 0, shift = 0,
        first = 0, minus = 0, margin = 0, halvings = 0;
    cpu::Activation activation = cpu::Activation::none;
    cpu::Padding padding = cpu::Padding::zero;
    cpu::Reduction function = cpu::Reduction::mean;
    Over over = Over::picture;
    double slope = 0.01, scale = 1, offset = 0, low = -1e29, high = 1e29, exponent = 1,
           epsilon = 1e-5;
    bool plain = false, depthwise = false;
    // What is done with the inputs after the first: engines' own, no file says it.
    cpu::Finish::Added added = cpu::Finish::Added::added;
    // What a convolution reads of a picture: scale · (weight · x + bias) + offset, by its tensors
    // "before.weight" and "before.bias". Engines' own as well.
    bool before = false;
    double before_scale = 1, before_offset = 0;

    bool has(const char* role) const { return tensors.count(role) > 0; }
    int input(std::size_t place) const { return place < inputs.size() ? inputs[place] : kNone; }
};

struct Graph {
    struct Input {
        int value = 0;  // inputs are the first values, in their order
        bool picture = false, own_size = false, optional = false;
        int standing_in = kNone;  // the value that does where it is left out
    };
    struct Output {
        std::string name;
        int value = 0;
        bool picture = false;
    };

    std::vector<Value> values;
    std::vector<Input> inputs;
    std::vector<Operation> operations;  // value inputs.size() + i is what operation i gives
    std::vector<Output> outputs;

    // Throws WeightsError: not JSON, or no such graph: unknown keys, kinds, names or attributes,
    // numbers out of range, an operation that reads what is not there yet, channels or grids that
    // do not fit, too many of anything.
    static Graph parse(std::string_view json);

    const std::string& name(int value) const { return values[static_cast<std::size_t>(value)].name; }
    // By name. Throws ArgumentError: there is none.
    int input(std::string_view name) const;
    int output(std::string_view name) const;
    // By how much the first output is larger than the first input; 0 if it is no multiple.
    int scale() const;
    // Whether it computes frames of a video, each of which hands `previous` on to the next.
    bool recurrent() const;
    // Channels of the first input.
    int channels() const { return values[0].channels; }
};

}  // namespace imagen_fast
