// Inputs and outputs of a graph in someone else's memory.
#pragma once

#include <vector>

#include "request.h"
#include "view.h"

namespace imagen_fast {

struct Named {
    int number;  // of the graph's inputs, or of its outputs
    View view;   // of outputs that are asked for: without data, or nothing at all
};

// The run that is meant. Throws ArgumentError: channels or types of inputs are not the graph's,
// pictures are of several types; and as `needed`.
Request request_for(const Graph&, const std::vector<Named>& given, const std::vector<Named>& wanted);

// What an output of the run will be, without data.
View output_of(const Graph&, const Request&, int output);

// Throws ArgumentError: an output is not as the run gives it.
void check_size(const Graph&, const Request&, const Named& output);

// Throws ArgumentError: floats of pictures lie outside 0 to 1, or others are not finite.
void check_samples(const Graph&, const std::vector<Named>& given);

}  // namespace imagen_fast
