// What machine code says of a kernel's parameters: imagen_fast/kernels/ahead/cubin.py, which explains
// it. The driver reads as many arguments as the code has, whatever a plan says.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace imagen_fast::cuda {

// Bytes of each of an entry's parameters, in order. Throws WeightsError: no 64-bit ELF file, cut
// off, or without such an entry.
std::vector<int> parameter_sizes(const void* cubin, std::size_t bytes, const std::string& entry);

}  // namespace imagen_fast::cuda
