#include "request.h"

#include <algorithm>
#include <string>
#include <utility>

#include "error.h"
#include "tensors.h"

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostPixels = 1 << 28;  // of one value: far beyond memory, and safe in an int

constexpr int kOtherSide = 32;  // of a second picture or its tokens, where nobody knows it yet

const Request::Given* find(const Request& request, int input) {
    for (const auto& given : request.given) {
        if (given.input == input) {
            return &given;
        }
    }
    return nullptr;
}

[[noreturn]] void missing(const Graph& graph, int input) {
    throw ArgumentError("the model's input '" + graph.name(input) + "' is needed and was not given");
}

void check_given(const Graph& graph, const Request& request) {
    for (const auto& given : request.given) {
        const std::string what = "input '" + graph.name(given.input) + "'";
        const Shape& shape = given.shape;
        if (find(request, given.input) != &given) {
            throw ArgumentError(what + " is given twice");
        }
        if (shape.images < 1 || shape.height < 1 || shape.width < 1 ||
            std::int64_t{shape.height} * shape.width > kMostPixels / shape.images) {
            throw ArgumentError("cannot run tiles of shape " +
                               text({shape.images, shape.height, shape.width}));
        }
        if (shape.images != request.given[0].shape.images) {
            throw ArgumentError(what + " has another number of images than the first");
        }
        const Shape expected = shape_of(graph, request, given.input);
        if (!(shape == expected)) {
            throw ArgumentError(what + " is " + text({shape.images, shape.height, shape.width}) +
                               "; expected " +
                               text({expected.images, expected.height, expected.width}));
        }
    }
}

// Inputs and results that are read on the way to what is wanted, one flag for each value.
std::vector<char> values_read(const Graph& graph, const Request& request) {
    std::vector<char> read(graph.values.size());
    for (const int output : request.wanted) {
        read[given_for(graph, request, graph.outputs[output].value)] = 1;
    }
    for (std::size_t i = graph.operations.size(); i-- > 0;) {
        const Operation& operation = graph.operations[i];
        for (const int input : operation.inputs) {
            const int value = given_for(graph, request, input);
            if (read[operation.output] && value != kNone) {
                read[value] = 1;
            }
        }
    }
    return read;
}

}  // namespace

int given_for(const Graph& graph, const Request& request, int value) {
    if (value == kNone || value >= static_cast<int>(graph.inputs.size()) || find(request, value) ||
        !graph.inputs[value].optional) {
        return value;
    }
    return graph.inputs[value].standing_in;
}

Shape shape_of(const Graph& graph, const Request& request, int value) {
    const Grid& grid = graph.values[value].grid;
    if (grid.one_pixel()) {
        return {request.given[0].shape.images, 1, 1};
    }
    const auto* of = find(request, grid.of);
    if (!of) {
        missing(graph, grid.of);
    }
    const std::int64_t height = grid.size(of->shape.height), width = grid.size(of->shape.width);
    if (std::max(height, width) > kMostPixels ||
        height > kMostPixels * 64 / width / of->shape.images) {
        throw BackendError("cannot run tiles of shape " +
                           text({of->shape.images, of->shape.height, of->shape.width}) +
                           ": a result of " + text({height, width}) + " pixels is too large");
    }
    return {of->shape.images, static_cast<int>(height), static_cast<int>(width)};
}

Request usual(const Graph& graph, const Shape& shape, std::vector<int> wanted) {
    Request request{{{0, shape}}, std::move(wanted), false};
    const int count = static_cast<int>(graph.inputs.size());
    std::vector<char> read = values_read(graph, request);
    for (int i = 1; i < count; ++i) {
        if (read[i]) {
            read[graph.values[i].grid.of] = 1;
        }
    }
    for (int i = 1; i < count; ++i) {
        if (read[i] && graph.inputs[i].own_size) {
            request.given.push_back({i, {shape.images, kOtherSide, kOtherSide}});
        }
    }
    for (int i = 1; i < count; ++i) {
        if (read[i] && !graph.inputs[i].own_size) {
            request.given.push_back({i, shape_of(graph, request, i)});
        }
    }
    return request;
}

bool makes_pictures(const Graph& graph) {
    const auto& output = graph.outputs[0];
    if (!graph.inputs[0].picture || !output.picture || graph.scale() < 1 ||
        graph.values[output.value].channels != graph.channels()) {
        return false;
    }
    const std::vector<char> read = values_read(graph, Request::picture({1, 1, 1}));
    return std::count(read.begin() + 1, read.begin() + graph.inputs.size(), 1) == 0;
}

bool averages(const Graph& graph) {
    const std::vector<char> read = values_read(graph, Request::picture({1, 1, 1}));
    return std::any_of(graph.operations.begin(), graph.operations.end(), [&](const Operation& x) {
        return read[x.output] && x.kind == Operation::Kind::reduce &&
               x.over == Operation::Over::picture;
    });
}

std::vector<char> needed(const Graph& graph, const Request& request) {
    if (request.given.empty() || request.wanted.empty()) {
        throw ArgumentError("a run needs an input and an output");
    }
    check_given(graph, request);
    for (const int output : request.wanted) {
        if (std::count(request.wanted.begin(), request.wanted.end(), output) > 1) {
            throw ArgumentError("output '" + graph.outputs[output].name + "' is wanted twice");
        }
    }
    const std::vector<char> read = values_read(graph, request);
    for (int v = 0; v < static_cast<int>(read.size()); ++v) {
        if (!read[v]) {
            continue;
        }
        if (v < static_cast<int>(graph.inputs.size()) && !find(request, v)) {
            missing(graph, v);
        }
        shape_of(graph, request, v);  // refuses what is too large
    }
    std::vector<char> needed(read.begin() + graph.inputs.size(), read.end());
    for (std::size_t i = 0; i < needed.size(); ++i) {
        if (needed[i] && request.bytes && graph.operations[i].kind == Operation::Kind::halve &&
            graph.operations[i].inputs[0] < static_cast<int>(graph.inputs.size())) {
            throw ArgumentError("bytes are for the finest picture alone; expected floats");
        }
    }
    return needed;
}

}  // namespace imagen_fast
