// Which instruction set runs the kernels.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "../../kernels/cpu/op.h"

namespace imagen_fast {

// `isa`, or if that is empty what the variable IMAGEN_FAST_ISA says, which may be empty.
std::string wanted_isa(const std::string& isa);

// For messages.
std::string joined(const std::vector<std::string>& names, const char* between = ", ");

// Names, best first, of the instruction sets that this build and this processor have for a
// precision ("fp32" or "bf16"). Always holds "generic" for fp32; may be empty for bf16.
std::vector<std::string> available(const std::string& precision);

// The kernels for an instruction set: a name of `available`, or "" for the variable
// IMAGEN_FAST_ISA or else the best. Throws BackendError: unknown, or not to be had here.
std::pair<std::string, const cpu::KernelSet*> choose(const std::string& isa,
                                                     const std::string& precision);

// The precision to take where nobody asks for one: "bf16" where it is much faster than fp32 on the
// instruction set that `choose` takes for it, else "fp32".
std::string preferred_precision(const std::string& isa);

}  // namespace imagen_fast
