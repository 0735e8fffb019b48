#include "network.h"

#include <map>
#include <string>
#include <tuple>

#include "error.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

// Sub-pixel convolutions whose result is no picture, or is read: a convolution, a shuffle, and the
// base's pixels repeated.
Graph lower(const Graph& from) {
    Graph to;
    to.inputs = from.inputs;
    to.outputs = from.outputs;
    to.values.assign(from.values.begin(), from.values.begin() + from.inputs.size());
    std::vector<int> moved(from.values.size());
    for (std::size_t v = 0; v < from.inputs.size(); ++v) {
        moved[v] = static_cast<int>(v);
    }
    const auto add = [&](Operation operation, Value value) {
        operation.output = static_cast<int>(to.values.size());
        to.values.push_back(std::move(value));
        to.operations.push_back(std::move(operation));
        return to.operations.back().output;
    };
    for (const Operation& original : from.operations) {
        Operation operation = original;
        for (int& input : operation.inputs) {
            input = input == kNone ? kNone : moved[input];
        }
        const Value& value = from.values[original.output];
        const int base = operation.input(1);
        const bool fits = base == kNone ||
                          (base < static_cast<int>(from.inputs.size())
                               ? from.inputs[base].picture && !from.inputs[base].optional
                               : to.operations[base - from.inputs.size()].kind == Kind::halve);
        if (operation.kind != Kind::subpixel_convolution ||
            (fits && writes_picture(from, original))) {
            moved[original.output] = add(std::move(operation), value);
            continue;
        }
        if (base != kNone && base < static_cast<int>(from.inputs.size()) &&
            from.inputs[base].optional && from.inputs[base].standing_in == kNone) {
            throw BackendError("the native engine cannot run operation '" + value.name +
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
            moved[original.output] = add(std::move(shuffle), value);
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
        moved[original.output] = add(std::move(sum), value);
    }
    for (auto& input : to.inputs) {
        input.standing_in = input.standing_in == kNone ? kNone : moved[input.standing_in];
    }
    for (auto& output : to.outputs) {
        output.value = moved[output.value];
    }
    return to;
}

class Builder {
public:
    Builder(const Graph& graph, const std::vector<Storage>& storage, const Tensors& tensors,
            const cpu::KernelSet& kernels)
        : graph_(graph), storage_(storage), weights_(tensors), kernels_(kernels) {}

    std::vector<Network::Operators> build() {
        std::vector<Network::Operators> all;
        for (const Operation& operation : graph_.operations) {
            if (operation.kind != Kind::concatenate && operation.inputs.size() > cpu::kMostAdded + 1) {
                cannot(operation, "adds more than " + std::to_string(cpu::kMostAdded) + " values");
            }
            Key key = key_of(operation);
            const auto made = made_.find(key);
            if (made != made_.end()) {
                all.push_back(made->second);
                continue;
            }
            all.push_back(make(operation));
            made_.emplace(std::move(key), all.back());
        }
        weights_.done();
        return all;
    }

private:
    using Key = std::tuple<Kind, std::vector<int>, std::vector<double>,
                           std::map<std::string, std::string, std::less<>>, std::vector<int>>;

    // All that an operator's packing depends on.
    Key key_of(const Operation& o) const {
        const Storage& x = storage_[o.inputs[0]];
        return {o.kind,
                {o.channels, o.kernel, o.stride, o.factor, o.head_dim, o.window, o.shift, o.plain,
                 static_cast<int>(o.activation), graph_.values[o.inputs[0]].channels,
                 graph_.values[o.output].channels, reads_picture(graph_, storage_, o)},
                {o.slope, o.scale, o.offset},
                o.tensors,
                x.layout.channel};
    }

    [[noreturn]] void cannot(const Operation& operation, const std::string& why) const {
        throw OperationError("the native engine cannot run operation '" +
                           graph_.name(operation.output) + "', which " + why +
                           "; choose another backend");
    }

    Network::Operators make(const Operation& o) {
        const int channels = graph_.values[o.output].channels;
        switch (o.kind) {
            case Kind::convolution:
                return one(convolution(o));
            case Kind::subpixel_convolution:
                return one(packed(o, {}, [&](const auto& conv, const auto&) {
                    return kernels_.head(conv, o.factor, o.channels);
                }));
            case Kind::transposed_convolution:
                return one(packed(o, {}, [&](const auto& conv, const auto&) { return kernels_.up(conv); }));
            case Kind::window_attention:
            case Kind::global_attention:
            case Kind::attention_map:
                return attention(o);
            case Kind::sum:
                return one(finished(o, [&](const auto& finish) { return kernels_.sum(channels, finish); }));
            case Kind::product:
                return one(kernels_.product());
            case Kind::pixel_shuffle:
                return one(kernels_.pixel_shuffle(channels, o.factor));
            case Kind::nearest:
                return one(kernels_.nearest(o.factor));
            case Kind::halve:
                if (!is_samples(graph_, storage_, o.inputs[0])) {
                    cannot(o, "halves what is no picture");
                }
                return one(kernels_.halve(channels));
            case Kind::concatenate:
            case Kind::slice:
                break;
        }
        return {};
    }

    static Network::Operators one(cpu::Op* op) { return {std::shared_ptr<const cpu::Op>(op)}; }

    const std::string& tensor(const Operation& o, const char* role) const {
        const auto found = o.tensors.find(role);
        if (found == o.tensors.end()) {
            throw WeightsError("operation '" + graph_.name(o.output) + "' lacks its tensor '" + role +
                               "'");
        }
        return found->second;
    }
    std::vector<float> take(const Operation& o, const char* role,
                            const std::vector<std::int64_t>& shape) {
        return weights_.take(tensor(o, role), shape);
    }

    cpu::Op* convolution(const Operation& o) {
        return finished(o, [&](const cpu::Finish& finish) {
            return packed(o, finish, [&](const auto& conv, const auto& f) {
                return reads_picture(graph_, storage_, o) ? kernels_.stem(conv, f)
                       : o.kernel == 1    ? kernels_.pointwise(conv, f)
                       : o.stride == 2    ? kernels_.down(conv, f)
                                          : kernels_.convolution(conv, f);
            });
        });
    }

    template <class Make>
    cpu::Op* packed(const Operation& o, const cpu::Finish& finish, Make make) {
        const int in = graph_.values[o.inputs[0]].channels;
        const bool transposed = o.kind == Kind::transposed_convolution;
        const int out = o.channels * (o.kind == Kind::subpixel_convolution ? o.factor * o.factor : 1);
        const int kernel = transposed ? 2 : o.kernel;
        const auto weight = transposed ? take(o, "weight", {in, out, 2, 2})
                                       : take(o, "weight", {out, in, kernel, kernel});
        const auto bias = o.tensors.count("bias") ? take(o, "bias", {out})
                                                  : std::vector<float>(static_cast<std::size_t>(out));
        cpu::Convolution conv{weight.data(), bias.data(), in, out};
        const Layout& layout = storage_[o.inputs[0]].layout;
        if (!layout.plain) {
            conv.order = layout.channel.data();
            conv.elements = layout.elements();
        }
        return make(conv, finish);
    }

    template <class Make>
    cpu::Op* finished(const Operation& o, Make make) {
        using Activation = Operation::Activation;
        const int channels = graph_.values[o.output].channels;
        std::vector<float> slopes;
        cpu::Finish finish;
        finish.scale = static_cast<float>(o.scale);
        finish.offset = static_cast<float>(o.offset);
        switch (o.activation) {
            case Activation::none:
                break;
            case Activation::relu:
                slopes.assign(static_cast<std::size_t>(channels), 0.0f);
                break;
            case Activation::leaky_relu:
                slopes.assign(static_cast<std::size_t>(channels), static_cast<float>(o.slope));
                break;
            case Activation::prelu:
                slopes = take(o, "slopes", {channels});
                break;
            case Activation::silu:
                finish.activation = cpu::Activation::silu;
                break;
            case Activation::sigmoid:
                finish.activation = cpu::Activation::sigmoid;
                break;
            case Activation::gelu:
                finish.activation = cpu::Activation::gelu;
                break;
        }
        if (!slopes.empty()) {
            finish.activation = cpu::Activation::slopes;
            finish.slopes = slopes.data();
        }
        return make(finish);
    }

    Network::Operators attention(const Operation& o) {
        const int c = graph_.values[o.inputs[0]].channels;
        if (o.plain) {
            return listing(o, c);
        }
        const bool map = o.kind == Kind::attention_map;
        const auto q = take(o, "q", {c, c}), kv = take(o, "kv", {2 * c, c});
        const auto proj = map ? std::vector<float>() : take(o, "proj", {c, c});
        const auto temperature = take(o, "temperature", {c / o.head_dim});
        const auto position =
            o.window ? take(o, "position", {o.window * o.window, c}) : std::vector<float>();
        const cpu::Attention attention{q.data(),           kv.data(),       proj.data(),
                                       temperature.data(), position.data(), c,
                                       o.head_dim,         o.window,        o.shift};
        if (map) {
            return one(kernels_.attention_map(attention));
        }
        return o.window ? one(kernels_.window_attention(attention)) : whole(attention);
    }

    Network::Operators listing(const Operation& o, int c) {
        const auto q = take(o, "q", {c, c}), q_bias = take(o, "q_bias", {c});
        auto kv = take(o, "k", {c, c}), kv_bias = take(o, "k_bias", {c});
        const auto v = take(o, "v", {c, c}), v_bias = take(o, "v_bias", {c});
        kv.insert(kv.end(), v.begin(), v.end());
        kv_bias.insert(kv_bias.end(), v_bias.begin(), v_bias.end());
        const auto proj = take(o, "proj", {c, c}), proj_bias = take(o, "proj_bias", {c});
        cpu::Attention attention{q.data(), kv.data(), proj.data(), nullptr, nullptr,
                                 c,        o.head_dim, 0,          0};
        attention.q_bias = q_bias.data();
        attention.kv_bias = kv_bias.data();
        attention.proj_bias = proj_bias.data();
        attention.relu = true;
        attention.residual = false;
        return whole(attention);
    }

    Network::Operators whole(const cpu::Attention& attention) {
        Network::Operators operators = one(kernels_.global_keys(attention));
        operators.emplace_back(kernels_.global_queries(attention));
        return operators;
    }

    const Graph& graph_;
    const std::vector<Storage>& storage_;
    Weights weights_;
    const cpu::KernelSet& kernels_;
    std::map<Key, Network::Operators> made_;
};

}  // namespace

Network::Network(const Graph& from, const Tensors& tensors, const cpu::KernelSet& kernels)
    : graph(lower(from)),
      storage(store(graph)),
      operators(Builder(graph, storage, tensors, kernels).build()) {}

}  // namespace imagen_fast
