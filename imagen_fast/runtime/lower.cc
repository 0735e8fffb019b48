#include "lower.h"

#include <algorithm>
#include <string>
#include <utility>

#include "error.h"
#include "storage.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;
using Added = cpu::Finish::Added;

// A graph that is made from another, operation by operation.
struct Copy {
    explicit Copy(const Graph& from) : place(from.values.size()) {
        to.inputs = from.inputs;
        to.outputs = from.outputs;
        to.values.assign(from.values.begin(), from.values.begin() + from.inputs.size());
        for (std::size_t v = 0; v < from.inputs.size(); ++v) {
            place[v] = static_cast<int>(v);
        }
    }
    // An operation that reads the values' copies.
    Operation moved(Operation operation) const {
        for (int& input : operation.inputs) {
            input = input == kNone ? kNone : place[input];
        }
        return operation;
    }
    int add(Operation operation, Value value) {
        operation.output = static_cast<int>(to.values.size());
        to.values.push_back(std::move(value));
        to.operations.push_back(std::move(operation));
        return to.operations.back().output;
    }
    Graph done() {
        for (auto& input : to.inputs) {
            input.standing_in = input.standing_in == kNone ? kNone : place[input.standing_in];
        }
        for (auto& output : to.outputs) {
            output.value = place[output.value];
        }
        return std::move(to);
    }

    Graph to;
    std::vector<int> place;  // of each value's copy
};

// Whether a value is a picture of half the size, which is there as samples.
bool is_halved_picture(const Graph& graph, int value) {
    while (value >= static_cast<int>(graph.inputs.size())) {
        const Operation& made = graph.operations[value - graph.inputs.size()];
        if (made.kind != Kind::halve) {
            return false;
        }
        value = made.inputs[0];
    }
    return !graph.inputs[value].optional;
}

// Sub-pixel convolutions whose result is no picture, or is read: a convolution, a shuffle, and the
// base's pixels repeated.
Graph take_apart(const Graph& from) {
    Copy copy(from);
    Graph& to = copy.to;
    const auto add = [&](Operation operation, Value value) {
        return copy.add(std::move(operation), std::move(value));
    };
    for (const Operation& original : from.operations) {
        const Operation operation = copy.moved(original);
        const Value& value = from.values[original.output];
        const int base = operation.input(1);
        const bool fits = base == kNone ||
                          (base < static_cast<int>(from.inputs.size())
                               ? from.inputs[base].picture && !from.inputs[base].optional
                               : is_halved_picture(to, base));
        if (operation.kind != Kind::subpixel_convolution ||
            (fits && writes_picture(from, original))) {
            copy.place[original.output] = add(operation, value);
            continue;
        }
        if (base != kNone && base < static_cast<int>(from.inputs.size()) &&
            from.inputs[base].optional && from.inputs[base].standing_in == kNone) {
            throw OperationError("the native engine cannot run operation '" + value.name +
                               "', which adds a base that may be left out; choose another backend");
        }
        Operation conv = operation, shuffle;
        conv.kind = Kind::convolution;
        conv.channels = operation.channels * operation.factor * operation.factor;
        conv.inputs = {operation.inputs[0]};
        const Grid& grid = to.values[operation.inputs[0]].grid;
        shuffle.kind = Kind::pixel_shuffle;
        shuffle.factor = operation.factor;
        shuffle.inputs = {add(std::move(conv), {value.name + " (convolution)",
                                                operation.channels * operation.factor *
                                                    operation.factor,
                                                grid})};
        if (base == kNone) {
            copy.place[original.output] = add(std::move(shuffle), value);
            continue;
        }
        Value half = value;
        half.name += " (shuffle)";
        const int shuffled = add(std::move(shuffle), half);
        Operation nearest, sum;
        nearest.kind = Kind::nearest;
        nearest.factor = operation.factor;
        nearest.inputs = {base};
        half.name = value.name + " (base)";
        sum.kind = Kind::sum;
        sum.inputs = {shuffled, add(std::move(nearest), half)};
        copy.place[original.output] = add(std::move(sum), value);
    }
    return copy.done();
}

// How often each value is read; more than once where it is handed out.
std::vector<int> reads_of(const Graph& graph) {
    std::vector<int> reads(graph.values.size());
    for (const Operation& operation : graph.operations) {
        for (const int input : operation.inputs) {
            if (input != kNone) {
                ++reads[input];
            }
        }
    }
    for (const auto& output : graph.outputs) {
        reads[output.value] += 2;
    }
    for (const auto& input : graph.inputs) {
        if (input.standing_in != kNone) {
            reads[input.standing_in] += 2;
        }
    }
    return reads;
}

// Factors and summands of a picture before its convolution, whose border is of zeros all the same: the
// convolution's kernel sees to them when it reads the samples.
Graph read_by_convolutions(const Graph& from) {
    const std::vector<int> reads = reads_of(from);
    const int inputs = static_cast<int>(from.inputs.size());
    const auto is_affine = [&](const Operation& o) {
        const bool alone = o.inputs.size() == 1 && o.activation == cpu::Activation::none;
        const int x = o.inputs[0];
        const bool picture = x < inputs ? !from.inputs[x].optional : is_halved_picture(from, x);
        return alone && picture && reads[o.output] == 1 &&
               (o.kind == Kind::sum || (o.kind == Kind::convolution && o.depthwise && o.kernel == 1 &&
                                        o.stride == 1));
    };
    Copy copy(from);
    for (Operation operation : from.operations) {
        const int x = operation.inputs[0];
        const bool reads_one = operation.kind == Kind::convolution && x >= inputs &&
                               is_affine(from.operations[x - inputs]);
        if (reads_one && kernel_of(operation) == ConvolutionKernel::three &&
            operation.padding == cpu::Padding::zero &&
            from.values[x].channels <= cpu::kMostImageChannels) {
            const Operation& affine = from.operations[x - inputs];
            operation.inputs[0] = affine.inputs[0];
            operation.before = true;
            operation.before_scale = affine.scale;
            operation.before_offset = affine.offset;
            for (const auto& [role, name] : affine.tensors) {
                operation.tensors["before." + role] = name;
            }
        }
        copy.place[operation.output] = copy.add(copy.moved(operation), from.values[operation.output]);
    }
    return copy.done();
}

// Products of a convolution, or of a sum's activation, with what else there is: the convolution's
// kernel does them before it stores.
class Gates {
public:
    explicit Gates(const Graph& graph) : graph_(graph), reads_(reads_of(graph)) {}

    Graph run() {
        std::vector<char> within(graph_.operations.size());  // another operation's
        std::vector<Operation> all(graph_.operations);
        for (Operation& operation : all) {
            if (operation.kind != Kind::product || operation.inputs.size() != 2) {
                continue;
            }
            for (int i = 0; i < 2; ++i) {
                if (gate(operation, operation.inputs[i], operation.inputs[1 - i], within)) {
                    break;
                }
            }
        }
        Copy copy(graph_);
        for (std::size_t i = 0; i < all.size(); ++i) {
            const int value = graph_.operations[i].output;
            if (!within[i]) {
                copy.place[value] = copy.add(copy.moved(all[i]), graph_.values[value]);
            }
        }
        return copy.done();
    }

private:
    bool gate(Operation& product, int by, int other, std::vector<char>& within) const {
        const Operation* activation = maker(by);
        if (!activation || reads_[by] != 1 || by == other) {
            return false;
        }
        Operation result = *activation;
        std::vector<int> added = {other};
        Added how = Added::times;
        const Operation* sum = nullptr;
        if (!(graph_.values[by] == graph_.values[product.output]) ||
            !(graph_.values[other] == graph_.values[product.output]) ||
            activation->activation > cpu::Activation::softplus) {
            return false;  // one counts for all channels or pixels, or convolutions know no such function
        }
        if (activation->kind == Kind::sum && activation->inputs.size() == 1) {
            const int y = activation->inputs[0];
            const Operation* conv = maker(y);
            if (!conv || !is_plain(*conv)) {
                return false;
            }
            sum = maker(other);
            if (reads_[y] == 2 && sum && sum->kind == Kind::sum && is_linear(*sum) &&
                all_alike(*sum) && reads_[other] == 1 && std::count(sum->inputs.begin(), sum->inputs.end(), y) == 1) {
                added = sum->inputs;
                added.erase(std::find(added.begin(), added.end(), y));
                how = Added::times_and_sum;
            } else if (reads_[y] == 1) {
                sum = nullptr;
            } else {
                return false;
            }
            result = *conv;
            result.activation = activation->activation;
            result.slope = activation->slope;
            result.scale = activation->scale;
            result.offset = activation->offset;
            result.low = activation->low;
            result.high = activation->high;
            if (const auto slopes = activation->tensors.find("slopes");
                slopes != activation->tensors.end()) {
                result.tensors["slopes"] = slopes->second;
            }
            within[number(y)] = 1;
        } else if (activation->kind != Kind::convolution || activation->stride != 1 ||
                   activation->inputs.size() != 1 || activation->added != Added::added) {
            return false;
        }
        within[number(by)] = 1;
        if (sum) {
            within[number(other)] = 1;
        }
        result.inputs.insert(result.inputs.end(), added.begin(), added.end());
        result.added = how;
        result.output = product.output;
        product = result;
        return true;
    }

    bool all_alike(const Operation& o) const {
        return std::all_of(o.inputs.begin(), o.inputs.end(), [&](int input) {
            return graph_.values[input] == graph_.values[o.output];
        });
    }
    static bool is_linear(const Operation& o) {
        return o.minus == 0 && o.activation == cpu::Activation::none && o.scale == 1 && o.offset == 0;
    }
    static bool is_plain(const Operation& o) {
        return o.kind == Kind::convolution && o.stride == 1 && is_linear(o) && o.inputs.size() == 1;
    }
    int number(int value) const { return value - static_cast<int>(graph_.inputs.size()); }
    const Operation* maker(int value) const {
        return number(value) < 0 ? nullptr : &graph_.operations[number(value)];
    }

    const Graph& graph_;
    std::vector<int> reads_;
};

}  // namespace

Graph lower(const Graph& graph) {
    const Graph apart = read_by_convolutions(take_apart(graph));
    return Gates(apart).run();
}

}  // namespace imagen_fast
