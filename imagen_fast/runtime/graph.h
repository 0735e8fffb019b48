// A network as a list of operations, as imagen_fast/graph writes it: imagen_fast/graph/graph.py and
// kinds.py explain what the names mean. Read from files, so nothing in it is trusted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace imagen_fast {

// Relative to the input number `of`: (factor · ⌈height / 2^halvings⌉, …).
struct Grid {
    int of = 0, halvings = 0, factor = 1;

    bool operator==(const Grid& o) const {
        return of == o.of && halvings == o.halvings && factor == o.factor;
    }
    std::int64_t size(std::int64_t of_input) const {
        const std::int64_t part = std::int64_t{1} << halvings;
        return factor * ((of_input + part - 1) / part);
    }
};

struct Value {
    std::string name;
    int channels = 0;
    Grid grid;

    bool operator==(const Value& o) const { return channels == o.channels && grid == o.grid; }
};

constexpr int kNone = -1;  // a value that is left out

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
        concatenate,
        slice,
        pixel_shuffle,
        nearest,
        halve
    };
    enum class Activation { none, relu, leaky_relu, prelu, silu, sigmoid, gelu };

    Kind kind{};
    int output = kNone;
    std::vector<int> inputs;  // numbers of values, or kNone
    std::map<std::string, std::string, std::less<>> tensors;  // names by role
    // Those of its kind; others keep these values.
    int channels = 0, kernel = 3, stride = 1, factor = 1, head_dim = 0, window = 0, shift = 0,
        first = 0;
    Activation activation = Activation::none;
    double slope = 0.01, scale = 1, offset = 0;
    bool plain = false;

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
    // Channels of the first input.
    int channels() const { return values[0].channels; }
};

}  // namespace imagen_fast
