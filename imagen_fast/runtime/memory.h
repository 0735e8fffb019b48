// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace imagen_fast {

// Bytes of main memory, by the system's estimate and within the limits of the control groups that
// this process is in and of those above them. Cached files count as available: they are dropped when
// memory is needed. What the system says lies below `root`.
std::int64_t available_memory(const std::string& root = "");

}  // namespace imagen_fast
