#include "op.h"

namespace imagen_fast::cpu {

Op::~Op() = default;
std::size_t Op::scratch(const Args&) const { return 0; }
std::size_t Op::shared(const Args&) const { return 0; }
void KernelSet::anchor() const {}

}  // namespace imagen_fast::cpu
