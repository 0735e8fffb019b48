#include "graph.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "error.h"
#include "json.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;
using Activation = Operation::Activation;

constexpr int kMostOperations = 4096, kMostChannels = 4096, kMostHalvings = 16,
              kMostFactor = 1 << 16, kMostInputs = 64;

// What an operation of a kind reads, how many are needed, and its attributes.
struct Row {
    Kind kind;
    std::size_t needed, most;
    std::vector<const char*> attributes;
};

constexpr std::size_t kAny = 16;

const std::map<std::string, Row, std::less<>>& rows() {
    static const std::map<std::string, Row, std::less<>> rows = {
        {"convolution",
         {Kind::convolution, 1, kAny,
          {"channels", "kernel", "stride", "activation", "slope", "scale"}}},
        {"subpixel_convolution",
         {Kind::subpixel_convolution, 1, 2, {"channels", "kernel", "factor"}}},
        {"transposed_convolution", {Kind::transposed_convolution, 1, 2, {"channels"}}},
        {"window_attention", {Kind::window_attention, 1, kAny, {"head_dim", "window", "shift"}}},
        {"global_attention", {Kind::global_attention, 1, kAny, {"head_dim", "plain"}}},
        {"attention_map", {Kind::attention_map, 1, 2, {"head_dim", "window", "shift"}}},
        {"sum", {Kind::sum, 1, kAny, {"activation", "slope", "scale", "offset"}}},
        {"product", {Kind::product, 1, kAny, {}}},
        {"concatenate", {Kind::concatenate, 1, kAny, {}}},
        {"slice", {Kind::slice, 1, 1, {"first", "channels"}}},
        {"pixel_shuffle", {Kind::pixel_shuffle, 1, 1, {"factor"}}},
        {"nearest", {Kind::nearest, 1, 1, {"factor"}}},
        {"halve", {Kind::halve, 1, 1, {}}},
    };
    return rows;
}

const std::map<std::string, Activation, std::less<>>& activations() {
    static const std::map<std::string, Activation, std::less<>> names = {
        {"none", Activation::none},     {"relu", Activation::relu},
        {"silu", Activation::silu},     {"leaky_relu", Activation::leaky_relu},
        {"prelu", Activation::prelu},   {"sigmoid", Activation::sigmoid},
        {"gelu", Activation::gelu},
    };
    return names;
}

// The fields of an object, each to be read exactly once.
class Record {
public:
    Record(const Json& json, std::string what) : fields_(json.object(what)), what_(std::move(what)) {}

    const Json& take(const std::string& key) {
        const auto found = fields_.find(key);
        if (found == fields_.end()) {
            throw WeightsError(what_ + " has no key '" + key + "'");
        }
        ++taken_;
        return found->second;
    }
    int integer(const std::string& key, int low, int high) {
        const auto value = take(key).integer(what_ + "'s " + key);
        if (value < low || value > high) {
            throw WeightsError(what_ + "'s " + key + " is " + std::to_string(value) +
                               "; expected " + std::to_string(low) + " to " + std::to_string(high));
        }
        return static_cast<int>(value);
    }
    const std::string& string(const std::string& key) { return take(key).string(what_ + "'s " + key); }
    bool boolean(const std::string& key) { return take(key).boolean(what_ + "'s " + key); }
    const Json::Array& array(const std::string& key) { return take(key).array(what_ + "'s " + key); }
    bool has(const std::string& key) const { return fields_.count(key) > 0; }
    void done() const {
        if (taken_ != fields_.size()) {
            throw WeightsError(what_ + " has unknown keys");
        }
    }
    const std::string& what() const { return what_; }

private:
    const Json::Object& fields_;
    std::string what_;
    std::size_t taken_ = 0;
};

class Reader {
public:
    Graph read(std::string_view text) {
        const Json json = Json::parse(text);
        Record top(json, "the graph");
        const auto& inputs = top.array("inputs");
        const auto& operations = top.array("operations");
        const auto& outputs = top.array("outputs");
        top.done();
        if (inputs.empty() || inputs.size() > kMostInputs || operations.size() > kMostOperations ||
            outputs.empty() || outputs.size() > kMostOperations) {
            throw WeightsError("the graph has " + std::to_string(inputs.size()) + " inputs, " +
                               std::to_string(operations.size()) + " operations and " +
                               std::to_string(outputs.size()) + " outputs");
        }
        for (const Json& input : inputs) {
            begin_input(input);
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            place_input(inputs[i], i);
        }
        for (const Json& operation : operations) {
            read_operation(operation);
        }
        for (const auto& [input, name] : standing_in_) {
            const int value = find(name, "input '" + graph_.values[input].name + "'");
            if (!(graph_.values[value] == graph_.values[input])) {
                throw WeightsError("input '" + graph_.values[input].name + "' is of another size than '" +
                                   name + "', which stands in for it");
            }
            if (static_cast<std::size_t>(value) < graph_.inputs.size() &&
                graph_.inputs[value].optional) {
                throw WeightsError("'" + name + "' stands in for an input and may be left out itself");
            }
            graph_.inputs[input].standing_in = value;
        }
        std::set<std::string> names;
        for (const Json& output : outputs) {
            Record record(output, "an output");
            Graph::Output one;
            one.name = record.string("name");
            one.value = find(record.string("value"), "output '" + one.name + "'");
            one.picture = record.boolean("picture");
            record.done();
            const auto input = static_cast<std::size_t>(one.value);
            if (input < graph_.inputs.size() && graph_.inputs[input].optional &&
                graph_.inputs[input].standing_in == kNone) {
                throw WeightsError("output '" + one.name + "' is an input that may be left out");
            }
            if (!names.insert(one.name).second) {
                throw WeightsError("two outputs are called '" + one.name + "'");
            }
            graph_.outputs.push_back(one);
        }
        return std::move(graph_);
    }

private:
    void begin_input(const Json& json) {
        Record record(json, "an input");
        Value value;
        value.name = record.string("name");
        value.channels = record.integer("channels", 1, kMostChannels);
        name(value);
        graph_.values.push_back(value);
    }

    // The names of an operation's tensors are those that its kind has.
    static void check_roles(const std::string& what, const Operation& o) {
        std::vector<const char*> needed;
        std::size_t known = 0;
        switch (o.kind) {
            case Kind::convolution:
            case Kind::subpixel_convolution:
            case Kind::transposed_convolution:
                needed = {"weight"};
                known = o.tensors.count("bias");
                break;
            case Kind::window_attention:
                needed = {"q", "kv", "temperature", "position", "proj"};
                break;
            case Kind::attention_map:
                needed = {"q", "kv", "temperature", "position"};
                break;
            case Kind::global_attention:
                needed = {"q", "kv", "temperature", "proj"};
                if (o.plain) {
                    needed = {"q", "k", "v", "proj", "q_bias", "k_bias", "v_bias", "proj_bias"};
                }
                break;
            default:
                break;
        }
        if (o.activation == Activation::prelu) {
            needed.push_back("slopes");
        }
        for (const char* role : needed) {
            if (!o.tensors.count(role)) {
                throw WeightsError(what + " lacks its tensor '" + role + "'");
            }
        }
        if (o.tensors.size() != needed.size() + known) {
            throw WeightsError(what + " has tensors that its kind does not have");
        }
    }

    void place_input(const Json& json, std::size_t number) {
        Record record(json, "input '" + graph_.values[number].name + "'");
        record.take("name");
        record.take("channels");
        Graph::Input input;
        input.value = static_cast<int>(number);
        input.picture = record.boolean("picture");
        input.optional = record.boolean("optional");
        const auto& grid = record.array("grid");
        const std::string& default_ = record.string("default");
        record.done();
        input.own_size = grid.empty();
        Grid& place = graph_.values[number].grid;
        place.of = input.value;
        if (!input.own_size) {
            if (grid.size() != 3) {
                throw WeightsError(record.what() + "'s grid is not an input and two numbers");
            }
            place.of = find(grid[0].string(record.what() + "'s grid"), record.what());
            place.halvings = within(grid[1], record.what() + "'s grid", 0, kMostHalvings);
            place.factor = within(grid[2], record.what() + "'s grid", 1, kMostFactor);
            own_.push_back({input.value, place.of});
        }
        if (!default_.empty()) {
            if (!input.optional) {
                throw WeightsError(record.what() + " has a default and is not optional");
            }
            standing_in_.push_back({number, default_});
            defaults_.insert(input.value);
        }
        graph_.inputs.push_back(input);
        if (graph_.inputs.size() == graph_.values.size()) {
            for (const auto& [one, of] : own_) {
                if (!graph_.inputs[of].own_size || graph_.inputs[of].optional) {
                    throw WeightsError("input '" + graph_.values[one].name +
                                       "' is of the size of one that has none");
                }
            }
        }
    }

    void read_operation(const Json& json) {
        Record record(json, "an operation");
        Value value;
        value.name = record.string("output");
        const std::string& kind = record.string("kind");
        const std::string what = "operation '" + value.name + "' (" + kind + ")";
        const auto row = rows().find(kind);
        if (row == rows().end()) {
            throw WeightsError(what + ": this version knows no such kind; update imagen-fast");
        }
        Operation operation;
        operation.kind = row->second.kind;
        const auto& inputs = record.array("inputs");
        if (inputs.size() < row->second.needed || inputs.size() > row->second.most) {
            throw WeightsError(what + " has " + std::to_string(inputs.size()) + " inputs");
        }
        for (const Json& input : inputs) {
            const std::string& from = input.string(what + "'s input");
            operation.inputs.push_back(from.empty() ? kNone : find(from, what));
        }
        for (const auto& [role, tensor] : record.take("tensors").object(what + "'s tensors")) {
            operation.tensors[role] = tensor.string(what + "'s tensor");
        }
        attributes(record.take("attributes"), what, row->second, operation);
        record.done();
        const int number = static_cast<int>(graph_.values.size());
        for (const auto& [input, stands_in] : standing_in_) {
            const bool reads = std::count(operation.inputs.begin(), operation.inputs.end(),
                                          static_cast<int>(input)) > 0;
            if (reads && !numbers_.count(stands_in)) {
                throw WeightsError(what + " reads '" + graph_.values[input].name +
                                   "' before what stands in for it is computed");
            }
        }
        check_roles(what, operation);
        infer(what, operation, value);
        check_without(what, operation, value);
        name(value);
        graph_.values.push_back(value);
        operation.output = number;
        graph_.operations.push_back(operation);
    }

    void attributes(const Json& json, const std::string& what, const Row& row, Operation& o) {
        Record record(json, what + "'s attributes");
        for (const std::string key : row.attributes) {
            if (!record.has(key)) {
                continue;  // its default
            }
            const std::string name = what + "'s " + key;
            if (key == "channels") {
                o.channels = record.integer(key, 1, kMostChannels);
            } else if (key == "kernel") {
                o.kernel = record.integer(key, 1, 3);
            } else if (key == "stride") {
                o.stride = record.integer(key, 1, 2);
            } else if (key == "factor") {
                o.factor = record.integer(key, 1, 16);
            } else if (key == "head_dim") {
                o.head_dim = record.integer(key, 1, kMostChannels);
            } else if (key == "window") {
                o.window = record.integer(key, 2, 64);
            } else if (key == "shift") {
                o.shift = record.integer(key, 0, 32);
            } else if (key == "first") {
                o.first = record.integer(key, 0, kMostChannels);
            } else if (key == "plain") {
                o.plain = record.boolean(key);
            } else if (key == "activation") {
                const auto found = activations().find(record.string(key));
                if (found == activations().end()) {
                    throw WeightsError(name + " is unknown");
                }
                o.activation = found->second;
            } else {
                double& number = key == "slope" ? o.slope : key == "scale" ? o.scale : o.offset;
                number = record.take(key).number(name);
                if (!(std::fabs(number) < 1e30)) {
                    throw WeightsError(name + " is out of range");
                }
            }
        }
        record.done();
        const auto needs = [&](const char* key, bool given) {
            if (!given) {
                throw WeightsError(what + " lacks its " + key);
            }
        };
        const Kind kind = o.kind;
        needs("channels", o.channels > 0 || (kind != Kind::convolution && kind != Kind::slice &&
                                             kind != Kind::subpixel_convolution &&
                                             kind != Kind::transposed_convolution));
        needs("first", kind != Kind::slice || record.has("first"));
        needs("kernel", kind != Kind::convolution || record.has("kernel"));
        needs("factor", record.has("factor") ||
                            (kind != Kind::subpixel_convolution && kind != Kind::pixel_shuffle &&
                             kind != Kind::nearest));
        needs("head_dim", o.head_dim > 0 ||
                              (kind != Kind::window_attention && kind != Kind::global_attention &&
                               kind != Kind::attention_map));
        needs("window", o.window > 0 ||
                            (kind != Kind::window_attention && kind != Kind::attention_map));
    }

    // Channels and grid of what an operation gives.
    void infer(const std::string& what, const Operation& o, Value& y) const {
        if (o.inputs[0] == kNone) {
            throw WeightsError(what + " leaves out its first input");
        }
        const Value& x = graph_.values[o.inputs[0]];
        const Value* second = o.input(1) == kNone ? nullptr : &graph_.values[o.input(1)];
        const auto expect = [&](bool fits, const char* problem) {
            if (!fits) {
                throw WeightsError(what + ": " + problem);
            }
        };
        y.channels = o.channels ? o.channels : x.channels;
        y.grid = x.grid;
        std::size_t same = o.inputs.size();  // inputs from here on are as what it gives
        switch (o.kind) {
            case Kind::convolution:
                expect((o.kernel == 1 && o.stride == 1) || (o.kernel == 3 && o.stride == 1) ||
                           (o.kernel == 2 && o.stride == 2),
                       "kernel and stride are neither 1 and 1, 3 and 1 nor 2 and 2");
                if (o.stride == 2) {
                    y.grid = halved(what, x.grid);
                }
                same = 1;
                break;
            case Kind::subpixel_convolution:
                expect(o.kernel == 3, "its kernel is not 3");
                expect(o.channels * o.factor * o.factor <= kMostChannels, "too many channels");
                expect(!second || (second->channels == o.channels && second->grid == x.grid),
                       "its base does not fit");
                y.grid = enlarged(what, x.grid, o.factor);
                break;
            case Kind::transposed_convolution:
                y.grid = second ? second->grid : enlarged(what, x.grid, 2);
                expect(!second || halved(what, y.grid) == x.grid, "its skip is not twice as large");
                same = 1;
                break;
            case Kind::window_attention:
            case Kind::global_attention:
            case Kind::attention_map:
                expect(x.channels % o.head_dim == 0, "channels are no multiple of head_dim");
                expect(!second || second->channels == x.channels, "its context does not fit");
                same = 2;
                expect(!o.plain || (o.head_dim == x.channels && o.inputs.size() == 1),
                       "the listing's attention has one head and one input");
                if (o.kind != Kind::global_attention) {
                    expect(!second || *second == x, "its context does not fit");
                    expect(o.window % 2 == 0 && (o.shift == 0 || o.shift == o.window / 2),
                           "its window is odd, or shifted by anything but half");
                }
                if (o.kind == Kind::attention_map) {
                    const int maps = x.channels / o.head_dim * o.window * o.window;
                    expect(maps <= kMostChannels, "too many channels");
                    y.channels = maps;
                }
                break;
            case Kind::sum:
            case Kind::product:
                same = 0;
                break;
            case Kind::concatenate: {
                std::int64_t channels = 0;
                for (const int input : o.inputs) {
                    expect(input != kNone && graph_.values[input].grid == x.grid,
                           "its inputs lie on different grids");
                    channels += graph_.values[input].channels;
                }
                expect(channels <= kMostChannels, "too many channels");
                y.channels = static_cast<int>(channels);
                break;
            }
            case Kind::slice:
                expect(o.first + o.channels <= x.channels, "its input has fewer channels");
                break;
            case Kind::pixel_shuffle:
                expect(x.channels % (o.factor * o.factor) == 0,
                       "channels are no multiple of factor²");
                y.channels = x.channels / (o.factor * o.factor);
                y.grid = enlarged(what, x.grid, o.factor);
                break;
            case Kind::nearest:
                y.grid = enlarged(what, x.grid, o.factor);
                break;
            case Kind::halve:
                y.grid = halved(what, x.grid);
                break;
        }
        const bool attention = o.kind == Kind::window_attention || o.kind == Kind::global_attention;
        for (std::size_t i = 0; i < o.inputs.size(); ++i) {
            const int input = o.inputs[i];
            const bool may_lack = i == 1 && (attention || o.kind == Kind::subpixel_convolution ||
                                             o.kind == Kind::transposed_convolution ||
                                             o.kind == Kind::attention_map);
            expect(input != kNone || may_lack, "leaves out an input");
            expect(i < same || input == kNone || graph_.values[input] == y,
                   "what it adds does not fit");
        }
    }

    // An operation that reads inputs which may be left out, and nothing else then, gives the same.
    void check_without(const std::string& what, Operation operation, const Value& value) const {
        bool changed = false;
        for (int& input : operation.inputs) {
            if (input != kNone && static_cast<std::size_t>(input) < graph_.inputs.size() &&
                graph_.inputs[input].optional && !defaults_.count(input)) {
                input = kNone;
                changed = true;
            }
        }
        if (changed) {
            Value other;
            infer(what, operation, other);
            if (!(other == value)) {
                throw WeightsError(what + " depends on whether an input is left out");
            }
        }
    }

    static Grid halved(const std::string& what, Grid grid) {
        if (grid.factor % 2 == 0) {
            grid.factor /= 2;
        } else if (grid.factor == 1 && grid.halvings < kMostHalvings) {
            ++grid.halvings;
        } else {
            throw WeightsError(what + ": its grid cannot be halved");
        }
        return grid;
    }
    static Grid enlarged(const std::string& what, Grid grid, int factor) {
        if (grid.factor * factor > kMostFactor) {
            throw WeightsError(what + ": its grid is too fine");
        }
        grid.factor *= factor;
        return grid;
    }
    static int within(const Json& json, const std::string& what, int low, int high) {
        const auto value = json.integer(what);
        if (value < low || value > high) {
            throw WeightsError(what + " is out of range");
        }
        return static_cast<int>(value);
    }

    void name(const Value& value) {
        if (value.name.empty() ||
            !numbers_.emplace(value.name, static_cast<int>(graph_.values.size())).second) {
            throw WeightsError("two values of the graph are called '" + value.name + "', or nothing");
        }
    }
    int find(const std::string& name, const std::string& who) const {
        const auto found = numbers_.find(name);
        if (found == numbers_.end()) {
            throw WeightsError(who + " reads '" + name + "', which is not there");
        }
        return found->second;
    }

    Graph graph_;
    std::map<std::string, int, std::less<>> numbers_;  // values by name
    std::vector<std::pair<std::size_t, std::string>> standing_in_;  // for an input
    std::set<int> defaults_;                                         // inputs that have one
    std::vector<std::pair<int, int>> own_;
};

template <class List, class Name>
int find(const List& list, std::string_view name, const char* what, Name name_of) {
    std::string all;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (name_of(list[i]) == name) {
            return static_cast<int>(i);
        }
        all += (i ? ", " : "") + name_of(list[i]);
    }
    throw ArgumentError("this model has no " + std::string(what) + " '" + std::string(name) +
                       "'; it has " + all);
}

}  // namespace

Graph Graph::parse(std::string_view json) { return Reader().read(json); }

int Graph::input(std::string_view wanted) const {
    return find(inputs, wanted, "input", [&](const Input& x) { return name(x.value); });
}

int Graph::output(std::string_view wanted) const {
    return find(outputs, wanted, "output", [](const Output& x) { return x.name; });
}

int Graph::scale() const {
    const Grid& grid = values[static_cast<std::size_t>(outputs[0].value)].grid;
    return grid.halvings || grid.of != 0 ? 0 : grid.factor;
}

}  // namespace imagen_fast
