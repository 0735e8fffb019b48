// 3×3 convolution as one GEMM whose rows overlap: a pixel's row of A is its neighbourhood, which
// in (N, H, W, C) is three runs of 3·C elements. For sets whose products cost less than Winograd's
// transforms.
//
// Results go to a sink as in winograd.h. They are handed over while the next chunk's products run,
// because a matrix unit leaves the vector unit idle.
#pragma once

#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Direct3x3 {
    using Scalar = typename S::Scalar;
    static constexpr int kPixels = 64;  // in a chunk; a multiple of every set's row_multiple
    static constexpr int kChunks = 8;   // in a block

public:
    // Output channel j is order(j) of the weights, or zero where that is negative.
    template <class Order>
    Direct3x3(const Convolution& conv, int out, Order order)
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
            static_cast<float*>(bias_.data())[j] = order(j) < 0 ? 0.0f : conv.bias[order(j)];
        }
    }

    int blocks(const Plane& x) const { return (chunks(x) + kChunks - 1) / kChunks; }
    std::size_t scratch() const { return 2 * chunk_size() * sizeof(float); }

    // Block: kChunks chunks, counted row by row through all images.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, Sink sink) const {
        const int first = block * kChunks;
        const int end = chunks(x) - first < kChunks ? chunks(x) : first + kChunks;
        const int width = weights_.panels.width();
        Finish<Sink> finish{sink, {}, nullptr, width, 0, 0};
        for (int i = first; i < end; ++i) {
            const Chunk at = chunk(x, i);
            float* values = reinterpret_cast<float*>(scratch) + i % 2 * chunk_size();
            const Scalar* in = x.at<Scalar>(at.n, at.y - 1, at.x - 1);
            const Rows<S> rows{{in, in + x.row(), in + 2 * x.row()}, 3, 3 * channels_, channels_,
                               at.count};
            gemm_beside(rows, weights_.panels, static_cast<const float*>(bias_.data()), values,
                        width, finish);
            finish.rest();
            finish = {sink, at, values, width, 0, (at.count + steps() - 1) / steps()};
        }
        finish.rest();
    }

private:
    struct Chunk {
        int n, y, x, count;
    };

    // What is left to do of a chunk whose products are there: called once a step of the GEMM, it
    // hands over a few pixels.
    template <class Sink>
    struct Finish {
        Sink& sink;
        Chunk chunk;
        const float* values;
        int width, done, at_once;

        IMAGEN_INLINE Finish& operator=(const Finish& other) {
            chunk = other.chunk;
            values = other.values;
            done = other.done;
            at_once = other.at_once;
            return *this;
        }
        IMAGEN_INLINE void operator()() {
            const int most = done + at_once, end = most < chunk.count ? most : chunk.count;
            for (; done < end; ++done) {
                sink(chunk.n, chunk.y, chunk.x + done, 1, values + done * width, width);
            }
        }
        IMAGEN_INLINE void rest() {
            at_once = chunk.count;
            (*this)();
        }
    };

    static int along(const Plane& x) { return (x.width + kPixels - 1) / kPixels; }
    static int chunks(const Plane& x) { return x.images * x.height * along(x); }
    static Chunk chunk(const Plane& x, int i) {
        const int column = i % along(x) * kPixels, row = i / along(x);
        const int left = x.width - column;
        return {row / x.height, row % x.height, column, left < kPixels ? left : kPixels};
    }
    int steps() const { return weights_.panels.count * (9 * channels_ / S::k_multiple); }
    // The odd cache line keeps the two chunks out of each other's cache sets.
    std::ptrdiff_t chunk_size() const { return kPixels * weights_.panels.width() + 16; }

    int channels_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
