// Where the values of a graph lie: in planes of their own, in some channels of a wider plane, or as
// packed samples.
#pragma once

#include <vector>

#include "graph.h"

namespace imagen_fast {

// Which channel each element of a pixel holds. A concatenation's parts keep the zeros that pad them,
// unless most of it is copied anyhow.
struct Layout {
    std::vector<int> channel;  // or -1
    bool plain = true;         // channel i in element i

    static Layout of(int channels);
    int elements() const { return static_cast<int>(channel.size()); }
};

struct Storage {
    bool packed = false;  // (N, H, W, C) samples without border: a picture, or any input
    int plane = kNone;    // the value in whose plane it lies, itself as a rule
    int element = 0;      // from which element of a pixel on
    // Of a concatenation: its parts lie one after the other without the zeros that pad them.
    bool dense = false;
    Layout layout;
};

// For every value. A concatenation's parts are computed in their place where they can be, and a
// slice is a part of what it is cut from.
std::vector<Storage> store(const Graph&);

// Which kernel computes a convolution of a plane. `three`: 3×3, of a zero or no border.
enum class ConvolutionKernel { pointwise, three, down, depthwise, window };
ConvolutionKernel kernel_of(const Operation&);

// How many elements before its own a convolution reads of a slice's pixel, of weights that are zero: so
// that it begins where vectors do, as long as it does not read more.
int lead(const std::vector<Storage>&, const Operation&);

// Whether an operation writes an output itself, as samples.
bool writes_picture(const Graph&, const Operation&);

// Whether a value is a picture that is always there as samples, whatever a request leaves out.
bool is_samples(const Graph&, const std::vector<Storage>&, int value);

// Whether a convolution reads samples as they are.
bool reads_picture(const Graph&, const std::vector<Storage>&, const Operation&);

}  // namespace imagen_fast
