// A · x + b for the pixels of a row, a few at a time: what stem, down, up and 1×1 convolutions
// have in common.
#pragma once

#include "finish.h"
#include "gemm.h"

namespace imagen_fast::cpu {

template <class S>
class Linear {
    using Scalar = typename S::Scalar;

public:
    static constexpr int kPixels = 48;  // at a time; a multiple of every set's row_multiple

    // weight(i, j) is the matrix at input i < in and output j < out, bias(j) what is added.
    template <class Weight, class Bias>
    Linear(int in, int out, Weight weight, Bias bias)
        : weights_(in, out, weight), bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < out; ++j) {
            static_cast<float*>(bias_.data())[j] = bias(j);
        }
    }

    std::size_t scratch() const { return kPixels * width() * sizeof(float); }
    int width() const { return weights_.panels.width(); }  // outputs, padded

    // For pixels first to first + count - 1 of a row of `length`: source(first, count) gives their
    // inputs as Rows, sink(first, count, values) gets values (count, width()), which lie in scratch.
    template <class Source, class Sink>
    void run(int length, std::byte* scratch, Source source, Sink sink) const {
        for (int first = 0; first < length; first += kPixels) {
            some(first, length, scratch, source, sink);
        }
    }
    // The same for kPixels pixels from `first` on, or as many as there are.
    template <class Source, class Sink>
    void some(int first, int length, std::byte* scratch, Source& source, Sink& sink) const {
        const int left = length - first, count = left < kPixels ? left : kPixels;
        if (count > 0) {
            float* values = reinterpret_cast<float*>(scratch);
            const Rows<S> rows = source(first, count);
            gemm(rows, weights_.panels, bias(), values, width());
            sink(first, count, values);
        }
    }

    // The same → row y of image n of `args.out`, finished.
    template <class Source>
    void run_row(int n, int y, const Args& args, const Finisher<S>& finisher, std::byte* scratch,
                 Source source) const {
        const int length = args.out.width;
        if constexpr (sizeof(Scalar) == sizeof(float)) {
            if (finisher.nothing(args) && !args.out.streamed && args.out.channels == width()) {
                for (int x = 0; x < length; x += kPixels) {
                    const int count = length - x < kPixels ? length - x : kPixels;
                    gemm(source(x, count), weights_.panels, bias(), args.out.at<Scalar>(n, y, x),
                         args.out.pixel);
                }
                return;
            }
        }
        run(length, scratch, source, [&](int x, int count, const float* values) {
            store(values, count, finisher, args, n, y, x);
        });
    }

private:
    const float* bias() const { return static_cast<const float*>(bias_.data()); }

    // values (count, width()) → pixels x to x + count - 1 of row y of image n of `args.out`
    void store(const float* values, int count, const Finisher<S>& finisher, const Args& args, int n,
               int y, int x) const {
        using Vec = typename S::Vec;
        const Plane& plane = args.out;
        finisher.in_row(args, n, y, [&](auto finish) {
            Scalar* out = plane.at<Scalar>(n, y, x);
            const float* value = values;
            const int channels = plane.channels;
            const bool streamed = plane.streamed;
            for (int i = 0; i < count; ++i, value += width(), out += plane.pixel) {
                for (int c = 0; c < channels; c += 2 * S::lanes) {
                    Vec low = S::load(value + c), high = S::load(value + c + S::lanes);
                    finish(x + i, c, low, high);
                    put<S>(out + c, low, high, streamed);
                }
            }
        });
    }

    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
