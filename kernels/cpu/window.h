// Convolutions of any kernel, stride and border, and transposed ones, as products: the pixels that
// some results read are copied side by side, so that every row of a kernel is a run in memory.
#pragma once

#include <cstring>

#include "border.h"
#include "linear.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Neighbours {
    using Scalar = typename S::Scalar;

public:
    // Kernels of kernel × kernel pixels of so many elements.
    Neighbours(int kernel, int stride, Padding padding, int elements)
        : kernel_(kernel), stride_(stride), elements_(elements), padding_(padding) {}

    std::size_t scratch() const { return kernel_ * run() * sizeof(Scalar); }

    // What `count` pixels side by side are computed of, the first from row y and column x on.
    Rows<S> of(const Plane& plane, int n, int y, int x, int count, Scalar* scratch) const {
        Rows<S> rows{{}, kernel_, kernel_ * elements_, stride_ * elements_, count};
        const int wide = (count - 1) * stride_ + kernel_;
        for (int ky = 0; ky < kernel_; ++ky, scratch += run()) {
            const int from = Extent::rows(plane).stand_in(y + ky, padding_);
            for (int i = 0; i < wide; ++i) {
                const int column = Extent::columns(plane).stand_in(x + i, padding_);
                Scalar* out = scratch + static_cast<std::ptrdiff_t>(i) * elements_;
                if (from == kNothing || column == kNothing) {
                    std::memset(out, 0, elements_ * sizeof(Scalar));
                } else {
                    std::memcpy(out, plane.at<Scalar>(n, from, column), elements_ * sizeof(Scalar));
                }
            }
            rows.segment[ky] = scratch;
        }
        return rows;
    }

private:
    std::ptrdiff_t run() const {
        return static_cast<std::ptrdiff_t>((Linear<S>::kPixels - 1) * stride_ + kernel_) * elements_;
    }

    int kernel_, stride_, elements_;
    Padding padding_;
};

template <class S>
class WindowConvolution final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    WindowConvolution(const Convolution& conv, const Kernel& window, const Finish& finish)
        : window_(window),
          neighbours_(window.size, window.stride, window.padding, conv.padded()),
          linear_(
              window.size * window.size * conv.padded(), round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {  // i = (ky, kx, c)
                  const int c = conv.channel(i % conv.padded()), tap = i / conv.padded();
                  return c >= 0 && j < conv.out
                             ? conv.weight[(static_cast<std::ptrdiff_t>(j) * conv.in + c) *
                                               window.size * window.size +
                                           tap]
                             : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out) {}

    std::size_t scratch(const Args&) const override {
        return linear_.scratch() + neighbours_.scratch();
    }

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        auto* pixels = reinterpret_cast<Scalar*>(scratch + linear_.scratch());
        const int start = before(window_), stride = window_.stride;
        linear_.run_row(
            n, y, args, finisher_, scratch,
            [&](int x, int count) {
                return neighbours_.of(args.x, n, stride * y - start, stride * x - start, count,
                                      pixels);
            });
    }

private:
    Kernel window_;
    Neighbours<S> neighbours_;
    Linear<S> linear_;
    Finisher<S> finisher_;
};

// Stride 2. Results of either parity along either axis are a convolution of their own, of half the
// kernel.
template <class S>
class Transposed final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Transposed(const Convolution& conv, int kernel)
        : kernel_(kernel),
          neighbours_(kernel / 2, 1, Padding::zero, conv.padded()),
          linear_{of(conv, 0), of(conv, 1), of(conv, 2), of(conv, 3)} {}

    std::size_t scratch(const Args&) const override {
        return linear_[0].scratch() + neighbours_.scratch();
    }

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        auto* pixels = reinterpret_cast<Scalar*>(scratch + linear_[0].scratch());
        const int beyond = (kernel_ - 2) / 2, reach = kernel_ / 2 - 1;
        for (int dx = 0; dx < 2; ++dx) {
            const int row = y + beyond, column = dx + beyond;
            const auto source = [&](int x, int count) {
                return neighbours_.of(args.x, n, row / 2 - reach, x + column / 2 - reach, count,
                                      pixels);
            };
            const auto sink = [&](int x, int count, const float* values) {
                spread(args, n, y, 2 * x + dx, count, values);
            };
            linear_[row % 2 * 2 + column % 2].run((args.out.width + 1 - dx) / 2, scratch, source,
                                                  sink);
        }
    }

private:
    // The matrix of results whose row and column, counted from the first tap, are even or odd. Tap
    // t adds to result 2 · i + t: the last tap belongs to the first pixel that a result reads.
    Linear<S> of(const Convolution& conv, int parity) const {
        const int half = kernel_ / 2;
        // A picture's three channels are one vector, however many pad them.
        const int wide = conv.out <= S::lanes ? S::lanes : round_up(conv.out, kChannelMultiple);
        return {half * half * conv.padded(), wide,
                [&](int i, int j) {  // i = (ky, kx, c)
                    const int c = conv.channel(i % conv.padded()), tap = i / conv.padded();
                    const int ty = parity / 2 + 2 * (half - 1 - tap / half);
                    const int tx = parity % 2 + 2 * (half - 1 - tap % half);
                    return c >= 0 && j < conv.out
                               ? conv.weight[((static_cast<std::ptrdiff_t>(c) * conv.out + j) *
                                                  kernel_ +
                                              ty) *
                                                 kernel_ +
                                             tx]
                               : 0.0f;
                },
                [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }};
    }

    // values (count, C), plus skip if there is one → every other pixel of out
    void spread(const Args& args, int n, int y, int x, int count, const float* values) const {
        const int wide = linear_[0].width();
        const auto value = [&](int c) { return c < wide ? S::load(values + c) : S::zero(); };
        for (int i = 0; i < count; ++i, values += wide, x += 2) {
            Scalar* out = args.out.at<Scalar>(n, y, x);
            const Scalar* skip = args.other.data ? args.other.at<Scalar>(n, y, x) : nullptr;
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                typename S::Vec a = value(c), b = value(c + S::lanes);
                if (skip) {
                    a = S::add(S::load(skip + c), a);
                    b = S::add(S::load(skip + c + S::lanes), b);
                }
                put<S>(out + c, a, b, args.out.streamed);
            }
        }
    }

    int kernel_;
    Neighbours<S> neighbours_;
    Linear<S> linear_[4];
};

}  // namespace imagen_fast::cpu
