// Convolutions of any kernel, stride and border, and transposed ones, as products: the pixels that
// some results read are copied side by side, so that every row of a window is a run in memory.
#pragma once

#include <cstring>

#include "border.h"
#include "linear.h"
#include "op.h"
#include "reduce.h"

namespace imagen_fast::cpu {

template <class S>
class Neighbours {
    using Scalar = typename S::Scalar;

public:
    // Windows of rows × columns pixels of so many elements.
    Neighbours(int rows, int columns, int stride, Padding padding, int elements)
        : rows_(rows), columns_(columns), stride_(stride), elements_(elements), padding_(padding) {}

    std::size_t scratch() const { return rows_ * run() * sizeof(Scalar); }

    // What `count` pixels side by side are computed of, the first from row y and column x on.
    Rows<S> of(const Plane& plane, int n, int y, int x, int count, Scalar* scratch) const {
        Rows<S> rows{{}, rows_, columns_ * elements_, stride_ * elements_, count};
        const int wide = (count - 1) * stride_ + columns_;
        for (int ky = 0; ky < rows_; ++ky, scratch += run()) {
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
        return static_cast<std::ptrdiff_t>((Linear<S>::kPixels - 1) * stride_ + columns_) *
               elements_;
    }

    int rows_, columns_, stride_, elements_;
    Padding padding_;
};

template <class S>
class WindowConvolution final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    WindowConvolution(const Convolution& conv, const Kernel& window, const Finish& finish)
        : window_(window),
          neighbours_(window.size, window.size, window.stride, window.padding, conv.padded()),
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

// Stride 2. A pixel's products with a row of the kernel are one product of matrices; each result is a
// sum of some of them, of pixels side by side. Rows of either parity read every other row of the kernel.
template <class S>
class Transposed final : public RowOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    Transposed(const Convolution& conv, int kernel)
        : kernel_(kernel),
          out_(conv.out),
          // A picture's three channels lie beside those of the next tap, without what would pad them.
          wide_(conv.out < S::lanes ? conv.out : round_up(conv.out, kChannelMultiple)),
          neighbours_(kernel / 2, 1, 1, Padding::zero, conv.padded()),
          linear_{of(conv, 0), of(conv, 1)},
          bias_(round_up(conv.out, kChannelMultiple) * sizeof(float)) {
        for (int c = 0; c < conv.out; ++c) {
            static_cast<float*>(bias_.data())[c] = conv.bias[c];
        }
    }

    std::size_t scratch(const Args&) const override {
        return linear_[0].scratch() + neighbours_.scratch();
    }

    // Result i of a row is the sum of tap t's products with pixel j where i + beyond = 2 · j + t.
    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        auto* pixels = reinterpret_cast<Scalar*>(scratch + linear_[0].scratch());
        const int half = kernel_ / 2, beyond = half - 1, row = y + beyond;
        const int most = 2 * (Linear<S>::kPixels - half);  // results of as many pixels as fit
        for (int x = 0; x < args.out.width; x += most) {
            const int end = x + most < args.out.width ? x + most : args.out.width;
            const int first = (x + beyond) / 2 - half + 1, last = (end - 1 + beyond) / 2;
            const auto source = [&](int, int count) {
                return neighbours_.of(args.x, n, row / 2 - half + 1, first, count, pixels);
            };
            const auto sink = [&](int, int, const float* values) {
                add_up(args, n, y, x, end, first, values);
            };
            linear_[row % 2].some(0, last + 1 - first, scratch, source, sink);
        }
    }

private:
    // Of the pixels of a column, the last tap's first → (tap, channel) of a row of the kernel.
    Linear<S> of(const Convolution& conv, int parity) const {
        return {kernel_ / 2 * conv.padded(), round_up(kernel_ * wide_, S::lanes),
                [&](int i, int j) {
                    const int c = conv.channel(i % conv.padded()), out = j % wide_;
                    const int ty = parity + 2 * (kernel_ / 2 - 1 - i / conv.padded());
                    const int tx = j / wide_;
                    return c >= 0 && out < conv.out && tx < kernel_
                               ? conv.weight[((static_cast<std::ptrdiff_t>(c) * conv.out + out) *
                                                  kernel_ +
                                              ty) *
                                                 kernel_ +
                                             tx]
                               : 0.0f;
                },
                [](int) { return 0.0f; }};
    }

    // values (pixels from `first` on, taps, C) → results x to end - 1, plus skip if there is one
    void add_up(const Args& args, int n, int y, int x, int end, int first,
                const float* values) const {
        const int half = kernel_ / 2, width = linear_[0].width();
        for (; x < end; ++x) {
            const int at = x + half - 1;
            // That of the last pixel; that of the one before it is two taps further on.
            const float* product = values + (at / 2 - first) * width + at % 2 * wide_;
            const auto sum = [&](int c) {
                if (c >= wide_) {
                    return S::zero();
                }
                Vec v = S::load(static_cast<const float*>(bias_.data()) + c);
                for (int t = 0; t < half; ++t) {
                    v = S::add(v, S::load(product + c + t * (2 * wide_ - width)));
                }
                return Channels<S>::kept(v, out_ - c);
            };
            Scalar* out = args.out.at<Scalar>(n, y, x);
            const Scalar* skip = args.other.data ? args.other.at<Scalar>(n, y, x) : nullptr;
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                Vec a = sum(c), b = sum(c + S::lanes);
                if (skip) {
                    a = S::add(S::load(skip + c), a);
                    b = S::add(S::load(skip + c + S::lanes), b);
                }
                put<S>(out + c, a, b, args.out.streamed);
            }
        }
    }

    int kernel_, out_, wide_;
    Neighbours<S> neighbours_;
    Linear<S> linear_[2];
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
