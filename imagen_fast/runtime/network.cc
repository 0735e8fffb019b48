#include "network.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "error.h"
#include "lower.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

class Builder {
public:
    Builder(const Graph& graph, const std::vector<Storage>& storage, const Tensors& tensors,
            const cpu::KernelSet& kernels)
        : graph_(graph), storage_(storage), weights_(tensors), kernels_(kernels) {}

    std::vector<Network::Operators> build() {
        std::vector<Network::Operators> all;
        for (const Operation& operation : graph_.operations) {
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
        const cpu::Broadcast broadcast = broadcast_of(o);
        return {o.kind,
                {lead(storage_, o), o.channels, o.kernel, o.stride, o.factor, o.head_dim, o.window, o.shift, o.minus,
                 o.margin, o.plain, o.depthwise, static_cast<int>(o.activation),
                 static_cast<int>(o.added), static_cast<int>(o.padding),
                 static_cast<int>(o.function), static_cast<int>(o.over),
                 static_cast<int>(broadcast.one_channel), static_cast<int>(broadcast.one_pixel), o.before,
                 graph_.values[o.inputs[0]].channels, graph_.values[o.output].channels,
                 reads_picture(graph_, storage_, o), is_samples(graph_, storage_, o.inputs[0])},
                {o.slope, o.scale, o.offset, o.low, o.high, o.exponent, o.epsilon, o.before_scale,
                 o.before_offset},
                o.tensors,
                x.layout.channel};
    }

    // Which of a sum's or product's inputs count for all channels or pixels.
    cpu::Broadcast broadcast_of(const Operation& o) const {
        cpu::Broadcast broadcast;
        if (o.kind != Kind::sum && o.kind != Kind::product) {
            return broadcast;
        }
        const Value& y = graph_.values[o.output];
        for (std::size_t i = 0; i < o.inputs.size(); ++i) {
            const Value& x = graph_.values[o.inputs[i]];
            broadcast.one_channel |= (x.channels != y.channels ? 1u : 0u) << i;
            broadcast.one_pixel |= (x.grid == y.grid ? 0u : 1u) << i;
        }
        broadcast.minus = o.minus;
        return broadcast;
    }

    Network::Operators make(const Operation& o) {
        const int channels = graph_.values[o.output].channels;
        const int in = graph_.values[o.inputs[0]].channels;
        switch (o.kind) {
            case Kind::convolution:
                return one(convolution(o));
            case Kind::subpixel_convolution:
                return one(packed(o, {}, [&](const auto& conv, const auto&) {
                    return kernels_.head(conv, o.factor, o.channels);
                }));
            case Kind::transposed_convolution:
                return one(packed(o, {}, [&](const auto& conv, const auto&) {
                    return kernels_.up(conv, o.kernel);
                }));
            case Kind::window_attention:
            case Kind::global_attention:
            case Kind::attention_map:
                return attention(o);
            case Kind::sum:
                return one(finished(o, [&](const auto& finish) {
                    return kernels_.sum(channels, finish, broadcast_of(o));
                }));
            case Kind::product:
                return one(kernels_.product(channels, broadcast_of(o)));
            case Kind::reduce:
                if (o.over == Operation::Over::picture) {
                    return two(kernels_.reduce_rows(o.function),
                               kernels_.reduce_picture(o.function));
                }
                return one(kernels_.reduce_channels(o.function, in));
            case Kind::layer_norm: {
                const auto weight = optional(o, "weight", {channels});
                const auto bias = optional(o, "bias", {channels});
                return one(kernels_.layer_norm(channels, static_cast<float>(o.epsilon),
                                               weight.empty() ? nullptr : weight.data(),
                                               bias.empty() ? nullptr : bias.data()));
            }
            case Kind::max_pool:
                return one(kernels_.max_pool({o.kernel, o.stride}));
            case Kind::pixel_shuffle:
                return one(kernels_.pixel_shuffle(channels, o.factor));
            case Kind::pixel_unshuffle:
                return one(kernels_.pixel_unshuffle(in, o.factor));
            case Kind::nearest:
                return one(kernels_.nearest(o.factor));
            case Kind::bilinear:
                return one(kernels_.bilinear(o.factor));
            case Kind::halve:
                return one(storage_[o.output].packed ? kernels_.halve(channels)
                                                     : kernels_.halve_plane());
            case Kind::pad:
                return one(kernels_.place(-o.margin, o.padding));
            case Kind::crop:
                return one(kernels_.place(o.margin, cpu::Padding::edge));
            case Kind::concatenate:
            case Kind::slice:
                break;
        }
        return {};
    }

    static Network::Operators one(cpu::Op* op) { return {std::shared_ptr<const cpu::Op>(op)}; }
    static Network::Operators two(cpu::Op* first, cpu::Op* second) {
        Network::Operators operators = one(first);
        operators.emplace_back(second);
        return operators;
    }

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

    // Empty where there is none.
    std::vector<float> optional(const Operation& o, const char* role,
                                const std::vector<std::int64_t>& shape) {
        return o.has(role) ? take(o, role, shape) : std::vector<float>();
    }

    cpu::Op* convolution(const Operation& o) {
        return finished(o, [&](const cpu::Finish& finish) {
            return packed(o, finish, [&](const auto& conv, const auto& f) -> cpu::Op* {
                if (reads_picture(graph_, storage_, o)) {
                    return kernels_.stem(conv, f);
                }
                switch (kernel_of(o)) {
                    case ConvolutionKernel::pointwise:
                        return kernels_.pointwise(conv, f);
                    case ConvolutionKernel::down:
                        return kernels_.down(conv, f);
                    case ConvolutionKernel::three:
                        return kernels_.convolution(conv, f);
                    case ConvolutionKernel::depthwise:
                        return kernels_.depthwise(conv, {o.kernel, o.stride, o.padding}, f);
                    default:
                        return kernels_.window(conv, {o.kernel, o.stride, o.padding}, f);
                }
            });
        });
    }

    template <class Make>
    cpu::Op* packed(const Operation& o, const cpu::Finish& finish, Make make) {
        const int in = graph_.values[o.inputs[0]].channels;
        const int out = o.channels * (o.kind == Kind::subpixel_convolution ? o.factor * o.factor : 1);
        const auto weight = o.kind == Kind::transposed_convolution
                                ? take(o, "weight", {in, out, o.kernel, o.kernel})
                                : take(o, "weight", {out, o.depthwise ? 1 : in, o.kernel, o.kernel});
        auto bias = optional(o, "bias", {out});
        bias.resize(static_cast<std::size_t>(out));
        cpu::Convolution conv{weight.data(), bias.data(), in, out};
        const Layout& layout = storage_[o.inputs[0]].layout;
        std::vector<int> order(layout.channel);
        const int before = lead(storage_, o);
        std::rotate(order.begin(), order.end() - before, order.end());
        if (!layout.plain || before) {
            conv.order = order.data();
            conv.elements = layout.elements();
        }
        auto factor = optional(o, "before.weight", {in, 1, 1, 1}),
             summand = optional(o, "before.bias", {in});
        if (o.before) {
            factor.resize(static_cast<std::size_t>(in), 1.0f);
            summand.resize(static_cast<std::size_t>(in));
            for (int c = 0; c < in; ++c) {
                factor[c] *= static_cast<float>(o.before_scale);
                summand[c] = static_cast<float>(o.before_scale * summand[c] + o.before_offset);
            }
            conv.factor = factor.data();
            conv.summand = summand.data();
        }
        return make(conv, finish);
    }

    template <class Make>
    cpu::Op* finished(const Operation& o, Make make) {
        using cpu::Activation;
        const int channels = graph_.values[o.output].channels;
        std::vector<float> slopes;
        cpu::Finish finish;
        finish.scale = static_cast<float>(o.scale);
        finish.offset = static_cast<float>(o.offset);
        finish.added = o.added;
        finish.slope = static_cast<float>(o.slope);
        finish.low = static_cast<float>(o.low);
        finish.high = static_cast<float>(o.high);
        finish.exponent = static_cast<float>(o.exponent);
        switch (o.activation) {
            case Activation::relu:
                slopes.assign(static_cast<std::size_t>(channels), 0.0f);
                break;
            case Activation::leaky_relu:
                slopes.assign(static_cast<std::size_t>(channels), static_cast<float>(o.slope));
                break;
            case Activation::prelu:
                slopes = take(o, "slopes", {channels});
                break;
            default:
                finish.activation = o.activation;
        }
        if (!slopes.empty()) {
            finish.activation = Activation::slopes;
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
        return two(kernels_.global_keys(attention), kernels_.global_queries(attention));
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
