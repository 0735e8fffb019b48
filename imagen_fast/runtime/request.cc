#include "request.h"

#include <algorithm>
#include <string>

#include "error.h"
#include "tensors.h"

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostPixels = 1 << 28;  // of one value: far beyond memory, and safe in an int

const Request::Given* find(const Request& request, int input) {
    for (const auto& given : request.given) {
        if (given.input == input) {
            return &given;
        }
    }
    return nullptr;
}

[[noreturn]] void missing(const Graph& graph, int input) {
    throw BackendError("the model's input '" + graph.name(input) + "' is needed and was not given");
}

void check_given(const Graph& graph, const Request& request) {
    for (const auto& given : request.given) {
        const std::string what = "input '" + graph.name(given.input) + "'";
        const Shape& shape = given.shape;
        if (find(request, given.input) != &given) {
            throw BackendError(what + " is given twice");
        }
        if (shape.images < 1 || shape.height < 1 || shape.width < 1 ||
            std::int64_t{shape.height} * shape.width > kMostPixels / shape.images) {
            throw BackendError("cannot run tiles of shape " +
                               text({shape.images, shape.height, shape.width}));
        }
        if (shape.images != request.given[0].shape.images) {
            throw BackendError(what + " has another number of images than the first");
        }
        const Shape expected = shape_of(graph, request, given.input);
        if (!(shape == expected)) {
            throw BackendError(what + " is " + text({shape.images, shape.height, shape.width}) +
                               "; expected " +
                               text({expected.images, expected.height, expected.width}));
        }
        if (request.bytes && !graph.inputs[given.input].picture) {
            throw BackendError(what + " is no picture: bytes are for pictures alone; expected floats");
        }
    }
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

std::vector<char> needed(const Graph& graph, const Request& request) {
    if (request.given.empty() || request.wanted.empty()) {
        throw BackendError("a run needs an input and an output");
    }
    check_given(graph, request);
    const int inputs = static_cast<int>(graph.inputs.size());
    std::vector<char> read(graph.values.size()), needed(graph.operations.size());
    for (const int output : request.wanted) {
        if (request.bytes && !graph.outputs[output].picture) {
            throw BackendError("output '" + graph.outputs[output].name +
                               "' is no picture: bytes are for pictures alone; expected floats");
        }
        read[graph.outputs[output].value] = 1;
    }
    for (std::size_t i = graph.operations.size(); i-- > 0;) {
        const Operation& operation = graph.operations[i];
        if (!read[operation.output]) {
            continue;
        }
        needed[i] = 1;
        if (request.bytes && operation.kind == Operation::Kind::halve) {
            throw BackendError("bytes are for the finest picture alone; expected floats");
        }
        for (const int input : operation.inputs) {
            const int value = given_for(graph, request, input);
            if (value != kNone) {
                read[value] = 1;
            }
        }
    }
    for (int i = 0; i < inputs; ++i) {
        if (read[i] && !find(request, i)) {
            missing(graph, i);
        }
    }
    for (std::size_t v = 0; v < read.size(); ++v) {
        if (read[v]) {
            shape_of(graph, request, static_cast<int>(v));  // refuses what is too large
        }
    }
    return needed;
}

}  // namespace imagen_fast
