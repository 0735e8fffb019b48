// 3×3 convolution as an implicit GEMM: no column matrix, the border of zeros stands in for padding.
//
// Both ways of computing a 3×3 convolution (this and winograd.h) hand their results, in float, to
// a sink: sink(n, y, x, count, values, stride) gets `count` pixels of row y from column x on. So
// what follows a convolution is written once.
#pragma once

#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

// Weights of a convolution whose channels are padded: output channel j comes from order(j).
template <class S>
class DirectConv3x3 {
public:
    template <class Order>
    DirectConv3x3(const Convolution& conv, int out, Order order)
        : channels_(round_up(conv.in, kChannelMultiple)),
          weights_(9 * channels_, out,
                   [&](int i, int j) {  // i = (ky, kx, c)
                       const int c = i % channels_, tap = i / channels_;
                       return c < conv.in && order(j) >= 0
                                  ? conv.weight[(order(j) * conv.in + c) * 9 + tap]
                                  : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < out; ++j) {
            static_cast<float*>(bias_.data())[j] = order(j) >= 0 ? conv.bias[order(j)] : 0.0f;
        }
    }

    int blocks(const Plane& x) const { return x.images * x.height; }
    std::size_t scratch() const { return kPixels * weights_.panels.width() * sizeof(float); }

    // Block: one row of one image.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, Sink sink) const {
        using Scalar = typename S::Scalar;
        const int n = block / x.height, y = block % x.height;
        float* values = reinterpret_cast<float*>(scratch);
        const int width = weights_.panels.width();
        for (int first = 0; first < x.width; first += kPixels) {
            const int count = x.width - first < kPixels ? x.width - first : kPixels;
            const Scalar* above = x.at<Scalar>(n, y - 1, first - 1);
            const Rows<S> rows{{above, above + x.row(), above + 2 * x.row()},
                               3,
                               3 * channels_,
                               channels_,
                               count};
            gemm(rows, weights_.panels, static_cast<const float*>(bias_.data()), values, width);
            sink(n, y, first, count, values, width);
        }
    }

private:
    static constexpr int kPixels = 48;  // at a time: a multiple of every tile's rows

    int channels_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
