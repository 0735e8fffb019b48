// What a run is given and what it is to give.
#pragma once

#include <vector>

#include "graph.h"

namespace imagen_fast {

struct Shape {
    int images = 0, height = 0, width = 0;

    bool operator==(const Shape& other) const {
        return images == other.images && height == other.height && width == other.width;
    }
};

struct Request {
    struct Given {
        int input;
        Shape shape;

        bool operator==(const Given& o) const { return input == o.input && shape == o.shape; }
    };

    std::vector<Given> given;
    std::vector<int> wanted;  // outputs
    bool bytes = false;       // pictures in and out are uint8, else float; everything else is float

    bool operator==(const Request& o) const {
        return given == o.given && wanted == o.wanted && bytes == o.bytes;
    }
    // One picture in, one out: the first of each.
    static Request picture(const Shape& shape, bool bytes = false) {
        return {{{0, shape}}, {0}, bytes};
    }
};

// The arrays of a run in the request's order, C-contiguous and without border.
struct Arrays {
    std::vector<const void*> in;
    std::vector<void*> out;
};

// The operations that a request needs, one flag for each. Throws ArgumentError: an input is missing,
// given or wanted twice, or of another size than the graph says; a size is impossible; pictures in
// bytes would have to be halved. BackendError: a result is too large.
std::vector<char> needed(const Graph&, const Request&);

// The value that is read for an input: itself, another that stands in for it, or kNone.
int given_for(const Graph&, const Request&, int value);

// Some outputs, of all that they need: the first input of this shape, others that have a size of
// their own, as tokens have it, of kOtherSide.
Request usual(const Graph&, const Shape&, std::vector<int> wanted = {0});

// Whether the first input is a picture, and alone enough for the first output, which is one of as
// many channels, larger by a whole factor.
bool makes_pictures(const Graph&);

// Whether the first output depends on means, or the like, over the whole picture: cut into tiles it
// is another.
bool averages(const Graph&);

// The size of a value. Throws ArgumentError: the input that it depends on is not given; BackendError:
// it is too large.
Shape shape_of(const Graph&, const Request&, int value);

}  // namespace imagen_fast
