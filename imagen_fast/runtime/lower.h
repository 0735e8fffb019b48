// From what a network says to what there are kernels for.
#pragma once

#include "graph.h"

namespace imagen_fast {

// The same graph with kinds taken apart that there is no kernel for, and with steps put together that
// one kernel does at once. Throws BackendError: there is no way.
Graph lower(const Graph&);

}  // namespace imagen_fast
