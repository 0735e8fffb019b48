#include "yuv.h"

#include <algorithm>
#include <cmath>

namespace imagen_fast {

namespace {

constexpr int kBits = 14;  // after the point; with 3 more for weights of neighbours all fits into 32
constexpr int kShift = kBits + 3;

std::int32_t fixed(double number) {
    return static_cast<std::int32_t>(std::floor(number * (1 << kBits) + 0.5));
}

std::uint8_t rounded(std::int32_t sample, int offset = 0) {
    const std::int32_t whole = ((sample + (1 << (kShift - 1))) >> kShift) + offset;
    return static_cast<std::uint8_t>(std::clamp(whole, 0, 255));
}

// Eight times the sample of a plane of half the size, between its own samples.
struct Enlarged {
    const std::uint8_t *near, *far;  // rows: the weights are 3 and 1
    int step;
    std::int64_t last;

    std::int32_t row(std::int64_t x) const { return 3 * near[x * step] + far[x * step]; }
    std::int32_t at(std::int64_t column) const {
        const std::int64_t x = column / 2;
        return column % 2 ? row(x) + row(std::min(x + 1, last)) : 2 * row(x);
    }
};

Enlarged enlarged(const std::uint8_t* plane, std::int64_t stride, int step, std::int64_t row,
                  std::int64_t height, std::int64_t width) {
    const std::int64_t y = row / 2;
    const std::int64_t other = row % 2 ? std::min(y + 1, height / 2 - 1) : std::max(y - 1, {});
    return {plane + y * stride, plane + other * stride, step, width / 2 - 1};
}

}  // namespace

Yuv::Yuv(LumaWeights weights, bool full_range) : black_(full_range ? 0 : 16) {
    const double kr = weights.red, kb = weights.blue, kg = 1 - kr - kb;
    const double y = full_range ? 1.0 : 219.0 / 255, c = full_range ? 1.0 : 224.0 / 255;
    y_ = fixed(1 / y);
    rv_ = fixed(2 * (1 - kr) / c);
    bu_ = fixed(2 * (1 - kb) / c);
    gu_ = fixed(-2 * (1 - kb) * kb / kg / c);
    gv_ = fixed(-2 * (1 - kr) * kr / kg / c);
    to_y_[0] = fixed(kr * y);
    to_y_[2] = fixed(kb * y);
    to_y_[1] = fixed(y) - to_y_[0] - to_y_[2];
    // What U and V take of a neutral pixel is nothing, exactly.
    to_u_[0] = fixed(-kr / (2 - 2 * kb) * c);
    to_u_[2] = fixed(c / 2);
    to_u_[1] = -to_u_[0] - to_u_[2];
    to_v_[0] = fixed(c / 2);
    to_v_[2] = fixed(-kb / (2 - 2 * kr) * c);
    to_v_[1] = -to_v_[0] - to_v_[2];
}

void Yuv::to_rgb(const Planes& planes, std::int64_t height, std::int64_t width, std::uint8_t* rgb,
                 std::int64_t stride) const {
    for (std::int64_t row = 0; row < height; ++row) {
        const std::uint8_t* y = planes.y + row * planes.y_stride;
        const Enlarged us = enlarged(planes.u, planes.u_stride, planes.step, row, height, width);
        const Enlarged vs = enlarged(planes.v, planes.v_stride, planes.step, row, height, width);
        std::uint8_t* pixel = rgb + row * stride;
        for (std::int64_t x = 0; x < width; ++x, pixel += 3) {
            const std::int32_t luma = y_ * 8 * (y[x] - black_);
            const std::int32_t u = us.at(x) - 8 * 128, v = vs.at(x) - 8 * 128;
            pixel[0] = rounded(luma + rv_ * v);
            pixel[1] = rounded(luma + gu_ * u + gv_ * v);
            pixel[2] = rounded(luma + bu_ * u);
        }
    }
}

void Yuv::from_rgb(const std::uint8_t* rgb, std::int64_t stride, std::int64_t height,
                   std::int64_t width, const Planes& planes) const {
    const auto weighted = [](const std::int32_t* pixel, const std::int32_t* weights) {
        return pixel[0] * weights[0] + pixel[1] * weights[1] + pixel[2] * weights[2];
    };
    for (std::int64_t row = 0; row < height; ++row) {
        const std::uint8_t* pixel = rgb + row * stride;
        std::uint8_t* y = planes.y + row * planes.y_stride;
        for (std::int64_t x = 0; x < width; ++x, pixel += 3) {
            const std::int32_t wide[3] = {pixel[0], pixel[1], pixel[2]};
            y[x] = rounded(8 * weighted(wide, to_y_), black_);
        }
    }
    for (std::int64_t row = 0; row < height / 2; ++row) {
        const std::uint8_t *above = rgb + 2 * row * stride, *below = above + stride;
        for (std::int64_t x = 0; x < width / 2; ++x) {
            const std::int64_t here = 6 * x, left = std::max<std::int64_t>(here - 3, 0);
            std::int32_t mean[3];  // eight times
            for (int i = 0; i < 3; ++i) {
                mean[i] = above[left + i] + below[left + i] + 2 * (above[here + i] + below[here + i]) +
                          above[here + 3 + i] + below[here + 3 + i];
            }
            planes.u[row * planes.u_stride + x * planes.step] = rounded(weighted(mean, to_u_), 128);
            planes.v[row * planes.v_stride + x * planes.step] = rounded(weighted(mean, to_v_), 128);
        }
    }
}

}  // namespace imagen_fast
