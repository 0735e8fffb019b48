// Frames of 8 bits in 4:2:0 <-> RGB: what imagen_fast/image/yuv.py does, bit by bit.
#pragma once

#include <cstdint>

namespace imagen_fast {

// Planes of a frame whose height and width are even: u and v have half of each. Strides are bytes
// from one row to the next; samples of u, and those of v, are `step` bytes apart: 2 in NV12.
struct Planes {
    std::uint8_t *y = nullptr, *u = nullptr, *v = nullptr;
    std::int64_t y_stride = 0, u_stride = 0, v_stride = 0;
    int step = 1;
};

// LumaWeights of red and blue in luma; ITU-R BT.601, BT.709, BT.2020.
struct LumaWeights {
    double red, blue;
};
constexpr LumaWeights kBt601{0.299, 0.114}, kBt709{0.2126, 0.0722}, kBt2020{0.2627, 0.0593};

class Yuv {
public:
    Yuv(LumaWeights, bool full_range);

    // rgb is (height, width, 3) with `stride` bytes from row to row.
    void to_rgb(const Planes&, std::int64_t height, std::int64_t width, std::uint8_t* rgb,
                std::int64_t stride) const;
    void from_rgb(const std::uint8_t* rgb, std::int64_t stride, std::int64_t height,
                  std::int64_t width, const Planes&) const;

private:
    int black_;
    std::int32_t y_, rv_, bu_, gu_, gv_;
    std::int32_t to_y_[3], to_u_[3], to_v_[3];
};

}  // namespace imagen_fast
