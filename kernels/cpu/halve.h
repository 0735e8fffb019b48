// A picture of half the size: what a coarse level's head adds its features to.
#pragma once

#include "op.h"

namespace imagen_fast::cpu {

// image (N, H, W, C) → picture (N, ⌈H/2⌉, ⌈W/2⌉, C), both float: means of 2×2 pixels, where an odd
// last row or column counts twice. H and W are those of x, the halves those of out; neither has
// data.
class Halve final : public RowOp {
public:
    explicit Halve(int channels) : channels_(channels) {}

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override;

private:
    int channels_;
};

}  // namespace imagen_fast::cpu
