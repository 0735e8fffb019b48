#include "network.h"

#include <string>

#include "../../kernels/cpu/halve.h"

namespace imagen_fast {

namespace {

class Builder {
public:
    Builder(const Spec& spec, const Tensors& tensors, const cpu::KernelSet& kernels)
        : spec_(spec), weights_(tensors), kernels_(kernels) {}

    void build(Network& network) {
        if (spec_.architecture == "listing") {
            listing(network);
        } else {
            hierarchical(network);
        }
        weights_.done();
    }

private:
    void hierarchical(Network& network) {
        const int levels = static_cast<int>(spec_.levels.size()), image = spec_.image_channels;
        const int finest = spec_.levels[0].channels, picture = image * spec_.scale * spec_.scale;
        network.stem = convolution("encoder.stem", image, finest, {finest, image, 3, 3},
                                   [&](auto& c) { return kernels_.stem(c); });
        for (int l = 0; l < levels; ++l) {
            network.encoder.push_back(stages("encoder", l, 0));
            network.decoder.push_back(stages("decoder", l, spec_.levels[l].depth));
        }
        for (int l = 0; l + 1 < levels; ++l) {
            const int fine = spec_.levels[l].channels, coarse = spec_.levels[l + 1].channels;
            const std::string i = "." + std::to_string(l);
            network.downs.push_back(convolution("encoder.downs" + i + ".conv", fine, coarse,
                                                {coarse, fine, 2, 2},
                                                [&](auto& c) { return kernels_.down(c); }));
            network.ups.push_back(convolution("decoder.ups" + i + ".conv", coarse, fine,
                                              {coarse, fine, 2, 2}, [&](auto& c) { return kernels_.up(c); }));
        }
        for (int l = 0; l < levels; ++l) {
            const int channels = spec_.levels[l].channels;
            network.heads.push_back(
                convolution("heads." + std::to_string(l) + ".conv", channels, picture,
                            {picture, channels, 3, 3},
                            [&](auto& c) { return kernels_.head(c, spec_.scale, image); }));
            rows(network, channels);
        }
        network.halve = std::make_unique<cpu::Halve>(image);
        if (const int channels = spec_.latent_channels) {
            const int coarsest = spec_.levels.back().channels;
            network.latent_in.reset(kernels_.rows_in(channels));
            network.latent = convolution("latent", channels, coarsest, {coarsest, channels, 1, 1},
                                         [&](auto& c) { return kernels_.pointwise(c); });
        }
    }

    void rows(Network& network, int channels) {
        network.rows_in.emplace_back(kernels_.rows_in(channels));
        network.rows_out.emplace_back(kernels_.rows_out(channels));
    }

    void listing(Network& network) {
        const int c = spec_.levels[0].channels, depth = spec_.levels[0].depth;
        rows(network, c);
        for (const char* part : {"encoder.", "decoder."}) {
            for (int i = 0; i < depth; ++i) {
                network.listing.push_back(self_attention(part + std::to_string(i) + ".", c));
            }
        }
    }

    AttentionOps self_attention(const std::string& name, int c) {
        const auto take = [&](const std::string& what, const std::vector<std::int64_t>& shape) {
            return weights_.take(name + what, shape);
        };
        const auto q = take("q.weight", {c, c}), q_bias = take("q.bias", {c});
        auto kv = take("k.weight", {c, c}), kv_bias = take("k.bias", {c});
        const auto v = take("v.weight", {c, c}), v_bias = take("v.bias", {c});
        kv.insert(kv.end(), v.begin(), v.end());
        kv_bias.insert(kv_bias.end(), v_bias.begin(), v_bias.end());
        const auto out = take("out.weight", {c, c}), out_bias = take("out.bias", {c});
        cpu::Attention attention{q.data(), kv.data(), out.data(), nullptr, nullptr, c, c, 0, 0};
        attention.q_bias = q_bias.data();
        attention.kv_bias = kv_bias.data();
        attention.proj_bias = out_bias.data();
        attention.relu = true;
        attention.residual = false;
        return whole(attention);
    }

    // Over the whole level.
    AttentionOps whole(const cpu::Attention& attention) {
        AttentionOps ops;
        ops.keys.reset(kernels_.global_keys(attention));
        ops.queries.reset(kernels_.global_queries(attention));
        return ops;
    }

    template <class Make>
    std::unique_ptr<cpu::Op> convolution(const std::string& name, int in, int out,
                                         const std::vector<std::int64_t>& shape, Make make) {
        const auto weight = weights_.take(name + ".weight", shape);
        const auto bias = weights_.take(name + ".bias", {out});
        const cpu::Convolution convolution{weight.data(), bias.data(), in, out};
        return std::unique_ptr<cpu::Op>(make(convolution));
    }

    // Every second attention block is shifted; the decoder counts on from the encoder.
    std::vector<Stage> stages(const std::string& part, int level, int first) {
        std::vector<Stage> stages(spec_.levels[level].depth);
        for (int i = 0; i < static_cast<int>(stages.size()); ++i) {
            const std::string name =
                part + ".stages." + std::to_string(level) + "." + std::to_string(i) + ".";
            const int channels = spec_.levels[level].channels;
            for (int j = 0; j < spec_.levels[level].convs; ++j) {
                stages[i].convs.push_back(
                    convolution(name + "convs." + std::to_string(j) + ".conv", channels, channels,
                                {channels, channels, 3, 3},
                                [&](auto& c) { return kernels_.conv_block(c); }));
            }
            stages[i].attention =
                attention(name + "attention.", spec_.levels[level], (first + i) % 2 == 1);
        }
        return stages;
    }

    AttentionOps attention(const std::string& name, const Level& level, bool shifted) {
        const int c = level.channels, window = level.global ? 0 : spec_.window;
        const auto q = weights_.take(name + "q.weight", {c, c});
        const auto kv = weights_.take(name + "kv.weight", {2 * c, c});
        const auto proj = weights_.take(name + "proj.weight", {c, c});
        const auto temperature = weights_.take(name + "temperature", {c / spec_.head_dim});
        std::vector<float> position;
        if (window) {
            position = weights_.take(name + "position", {window * window, c});
        }
        const cpu::Attention attention{q.data(),           kv.data(),       proj.data(),
                                       temperature.data(), position.data(), c,
                                       spec_.head_dim,     window,          shifted ? window / 2 : 0};
        if (!window) {
            return whole(attention);
        }
        AttentionOps ops;
        ops.window.reset(kernels_.window_attention(attention));
        return ops;
    }

    const Spec& spec_;
    Weights weights_;
    const cpu::KernelSet& kernels_;
};

}  // namespace

Network::Network(const Spec& spec, const Tensors& tensors, const cpu::KernelSet& kernels) {
    Builder(spec, tensors, kernels).build(*this);
}

}  // namespace imagen_fast
