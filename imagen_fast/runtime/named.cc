#include "named.h"

#include <limits>
#include <string>

#include "error.h"
#include "tensors.h"

namespace imagen_fast {

namespace {

const char* type_of(bool bytes) { return bytes ? "uint8" : "float32"; }

std::string quoted(const Graph& graph, int input) { return "input '" + graph.name(input) + "'"; }

std::string text_of(const View& view) {
    return std::string(type_of(view.bytes)) + " of (images, height, width, channels) " +
           text({view.images, view.height, view.width, view.channels});
}

int pixels(std::int64_t count, const std::string& what) {
    if (count > std::numeric_limits<int>::max()) {
        throw ArgumentError(what + " is too large");
    }
    return static_cast<int>(count);
}

}  // namespace

Request request_for(const Graph& graph, const std::vector<Named>& given,
                    const std::vector<Named>& wanted) {
    Request request;
    bool picture_seen = false;
    for (const auto& [number, view] : given) {
        const std::string what = quoted(graph, number);
        const int channels = graph.values[static_cast<std::size_t>(number)].channels;
        if (view.channels != channels) {
            throw ArgumentError(what + " has " + std::to_string(view.channels) +
                                " channels; expected " + std::to_string(channels));
        }
        if (!graph.inputs[static_cast<std::size_t>(number)].picture) {
            if (view.bytes) {
                throw ArgumentError(what + " is no picture: bytes are for pictures alone; expected "
                                    "IMAGEN_FAST_FLOAT32");
            }
        } else if (picture_seen && view.bytes != request.bytes) {
            throw ArgumentError("pictures are of two types; expected one");
        } else {
            picture_seen = true;
            request.bytes = view.bytes;
        }
        request.given.push_back({number,
                                 {pixels(view.images, what), pixels(view.height, what),
                                  pixels(view.width, what)}});
    }
    for (const Named& one : wanted) {
        request.wanted.push_back(one.number);
    }
    (void)needed(graph, request);
    return request;
}

View output_of(const Graph& graph, const Request& request, int number) {
    const auto& output = graph.outputs[static_cast<std::size_t>(number)];
    const Shape shape = shape_of(graph, request, output.value);
    View view;
    view.bytes = request.bytes && output.picture;
    view.channels = graph.values[static_cast<std::size_t>(output.value)].channels;
    view.images = shape.images;
    view.height = shape.height;
    view.width = shape.width;
    return view;
}

void check_size(const Graph& graph, const Request& request, const Named& output) {
    const View expected = output_of(graph, request, output.number), &given = output.view;
    if (given.bytes != expected.bytes || given.channels != expected.channels ||
        given.images != expected.images || given.height != expected.height ||
        given.width != expected.width) {
        throw ArgumentError("output '" + graph.outputs[static_cast<std::size_t>(output.number)].name +
                            "' is " + text_of(given) + "; expected " + text_of(expected));
    }
}

void check_samples(const Graph& graph, const std::vector<Named>& given) {
    constexpr float most = std::numeric_limits<float>::max();
    for (const auto& [number, view] : given) {
        const bool picture = graph.inputs[static_cast<std::size_t>(number)].picture;
        if (!within(view, picture ? 0 : -most, picture ? 1 : most)) {
            throw ArgumentError(quoted(graph, number) + (picture
                                    ? " holds floats that do not lie between 0 and 1"
                                    : " holds floats that are not finite"));
        }
    }
}

}  // namespace imagen_fast
