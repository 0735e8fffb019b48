// How much memory this process may still take, as imagen_fast/backends/memory.py finds it.
#pragma once

#include <cstdint>

namespace imagen_fast {

// Bytes of main memory, by the system's estimate and within the limits of the control groups that
// this process is in. Cached files count as available: they are dropped when memory is needed.
std::int64_t available_memory();

}  // namespace imagen_fast
