#include "op.h"

namespace imagen_fast::cpu {

Op::~Op() = default;
std::size_t Op::scratch(const Args&) const { return 0; }
std::size_t Op::shared(const Args&) const { return 0; }

int RowOp::blocks(const Args& args) const { return args.out.images * args.out.height; }
void RowOp::run(int block, const Args& args, std::byte* scratch) const {
    run_row(block / args.out.height, block % args.out.height, args, scratch);
}

void KernelSet::anchor() const {}

}  // namespace imagen_fast::cpu
