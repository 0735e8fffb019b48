#include "storage.h"

#include <algorithm>

#include "../../kernels/cpu/op.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

// Kernels that can write some channels of a wider plane.
bool writes_parts(const Operation& operation) {
    return (operation.kind == Kind::convolution && operation.stride == 1) ||
           operation.kind == Kind::sum || operation.kind == Kind::product ||
           operation.kind == Kind::concatenate;
}

}  // namespace

Layout Layout::of(int channels) {
    Layout layout;
    layout.channel.assign(cpu::round_up(channels, cpu::kChannelMultiple), -1);
    for (int c = 0; c < channels; ++c) {
        layout.channel[c] = c;
    }
    return layout;
}

ConvolutionKernel kernel_of(const Operation& o) {
    const bool zero = o.padding == cpu::Padding::zero, valid = o.padding == cpu::Padding::valid;
    if (o.depthwise) {
        return ConvolutionKernel::depthwise;
    }
    if (o.kernel == 1 && o.stride == 1) {
        return ConvolutionKernel::pointwise;
    }
    if (o.kernel == 3 && o.stride == 1 && (zero || valid)) {
        return ConvolutionKernel::three;
    }
    return o.kernel == 2 && o.stride == 2 && zero ? ConvolutionKernel::down
                                                  : ConvolutionKernel::window;
}

int lead(const std::vector<Storage>& stored, const Operation& operation) {
    const Storage& x = stored[operation.inputs[0]];
    const int before = x.element % cpu::kChannelMultiple;
    const auto padding = std::count(x.layout.channel.begin(), x.layout.channel.end(), -1);
    if (!x.layout.plain || before > padding) {
        return 0;
    }
    switch (kernel_of(operation)) {
        case ConvolutionKernel::pointwise:
        case ConvolutionKernel::three:
            return operation.kind == Kind::convolution ? before : 0;
        default:
            return 0;
    }
}

bool writes_picture(const Graph& graph, const Operation& operation) {
    if (operation.kind != Kind::subpixel_convolution) {
        return false;
    }
    int pictures = 0;
    for (const auto& output : graph.outputs) {
        if (output.value == operation.output) {
            pictures += output.picture ? 1 : 2;
        }
    }
    for (const auto& input : graph.inputs) {
        pictures += input.standing_in == operation.output ? 2 : 0;
    }
    return pictures == 1 &&
           std::none_of(graph.operations.begin(), graph.operations.end(), [&](const auto& other) {
               return std::count(other.inputs.begin(), other.inputs.end(), operation.output) > 0;
           });
}

bool is_samples(const Graph& graph, const std::vector<Storage>& stored, int value) {
    const bool input = value < static_cast<int>(graph.inputs.size());
    return stored[value].packed && !(input && graph.inputs[value].optional);
}

bool reads_picture(const Graph& graph, const std::vector<Storage>& stored,
                   const Operation& operation) {
    const int x = operation.inputs[0];
    return operation.kind == Kind::convolution &&
           kernel_of(operation) == ConvolutionKernel::three &&
           operation.padding == cpu::Padding::zero &&
           is_samples(graph, stored, x) && graph.values[x].channels <= cpu::kMostImageChannels;
}

std::vector<Storage> store(const Graph& graph) {
    std::vector<Storage> stored(graph.values.size());
    for (std::size_t v = 0; v < stored.size(); ++v) {
        stored[v].plane = static_cast<int>(v);
        stored[v].packed = v < graph.inputs.size();
        stored[v].layout = Layout::of(graph.values[v].channels);
    }
    const auto maker = [&](int value) -> const Operation* {
        const int number = value - static_cast<int>(graph.inputs.size());
        return number < 0 ? nullptr : &graph.operations[static_cast<std::size_t>(number)];
    };
    for (const Operation& operation : graph.operations) {
        Storage& result = stored[operation.output];
        if ((operation.kind == Kind::halve && is_samples(graph, stored, operation.inputs[0])) ||
            writes_picture(graph, operation)) {
            result.packed = true;
        }
        if (operation.kind != Kind::concatenate) {
            continue;
        }
        const auto is_written = [&](int input) {
            return maker(input) && writes_parts(*maker(input)) && stored[input].plane == input;
        };
        int written = 0, channels = 0;
        for (const int input : operation.inputs) {
            written += is_written(input) ? graph.values[input].channels : 0;
        }
        result.dense = 2 * written < graph.values[operation.output].channels;
        if (result.dense) {
            for (const int input : operation.inputs) {
                Storage& part = stored[input];
                if (is_written(input) && part.layout.plain &&
                    graph.values[input].channels == part.layout.elements() &&
                    channels % cpu::kChannelMultiple == 0) {
                    part.plane = operation.output;
                    part.element = channels;
                }
                channels += graph.values[input].channels;
            }
            continue;
        }
        result.layout = {{}, true};
        for (const int input : operation.inputs) {
            Storage& part = stored[input];
            if (is_written(input)) {
                part.plane = operation.output;
                part.element = result.layout.elements();
            }
            for (const int channel : part.layout.channel) {
                const int element = result.layout.elements();
                result.layout.channel.push_back(channel < 0 ? -1 : channels + channel);
                result.layout.plain = result.layout.plain && (channel < 0 || channels + channel == element);
            }
            channels += graph.values[input].channels;
        }
    }
    // Parts of parts, the outermost first.
    for (auto operation = graph.operations.rbegin(); operation != graph.operations.rend();
         ++operation) {
        const Storage& whole = stored[operation->output];
        if (operation->kind == Kind::concatenate && whole.plane != operation->output) {
            for (Storage& part : stored) {
                if (part.plane == operation->output) {
                    part.plane = whole.plane;
                    part.element += whole.element;
                }
            }
        }
    }
    // Slices, the first ones first: one may be cut from another.
    for (const Operation& operation : graph.operations) {
        if (operation.kind != Kind::slice) {
            continue;
        }
        const Storage& from = stored[operation.inputs[0]];
        const auto& channel = from.layout.channel;
        const auto first = std::find(channel.begin(), channel.end(), operation.first);
        bool together = !from.packed && channel.end() - first >= operation.channels;
        for (int c = 0; together && c < operation.channels; ++c) {
            together = first[c] == operation.first + c;
        }
        if (together) {
            stored[operation.output].plane = from.plane;
            stored[operation.output].element =
                from.element + static_cast<int>(first - channel.begin());
        }
    }
    return stored;
}

}  // namespace imagen_fast
