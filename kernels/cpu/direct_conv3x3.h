// 3×3 convolution as it is written, for a matrix unit, whose products cost less than Winograd's
// transforms.
//
// A chunk is four tiles of 16 pixels, one below the other. Results go to a sink as in winograd.h,
// a panel of channels at a time and a pixel beside each of the next panel's products, because the
// matrix unit leaves the vector unit idle.
#pragma once

#include <new>
#include <utility>

#include "amx_conv3x3.h"
#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class DirectConv3x3 {
    using Scalar = typename S::Scalar;
    static constexpr int kRows = 4, kColumns = S::row_multiple;  // of a chunk
    static constexpr int kValues = kRows * kColumns * 2 * S::lanes;  // products: of two panels
    static constexpr int kChunks = 8;    // in a block

public:
    // Output channel j is order(j) of the weights, or zero where that is negative.
    template <class Order>
    DirectConv3x3(const Convolution& conv, int out, Order order)
        : channels_(conv.padded()),
          weights_(9 * channels_, out,
                   [&](int i, int j) {  // i = (kx, c / 32, ky, c % 32)
                       const int c = conv.channel(i / 96 % (channels_ / 32) * 32 + i % 32);
                       const int tap = i / 32 % 3 * 3 + i / (3 * channels_);
                       return c >= 0 && order(j) >= 0
                                  ? conv.weight[(order(j) * conv.in + c) * 9 + tap]
                                  : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < out; ++j) {
            static_cast<float*>(bias_.data())[j] = order(j) < 0 ? 0.0f : conv.bias[order(j)];
        }
    }

    int blocks(const Plane& x) const { return (chunks(x) + kChunks - 1) / kChunks; }
    std::size_t scratch() const { return 2 * kValues * sizeof(float); }

    // Block: kChunks chunks, counted along a band of kRows rows, and band after band.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, Sink sink) const {
        constexpr int vectors = decltype(sink(0, 0, 0, 0))::vectors, wide = vectors * S::lanes;
        const int first = block * kChunks;
        const int end = chunks(x) - first < kChunks ? chunks(x) : first + kChunks;
        float* values = reinterpret_cast<float*>(scratch);
        float* other = values + kValues;
        Finish<Sink> finish(sink);
        AmxConv3x3<typename S::Tiles> conv(values, wide);
        for (int i = first; i < end; ++i) {
            const Chunk at = chunk(x, i);
            for (int panel = 0; panel < weights_.panels.count; panel += vectors) {
                for (int j = 0; j < vectors; ++j) {
                    sums<kRows>(conv, x, at, panel + j, values + j * S::lanes, finish);
                }
                finish.rest();
                finish.start(at, panel * S::lanes, values);
                float* const used = values;
                values = other;
                other = used;
            }
        }
        conv.finish();
        finish.rest();
    }

private:
    struct Chunk {
        int n, y, x, rows, columns;
    };

    // A chunk's sums of a panel of channels, as many rows of them as the chunk has.
    template <int rows, class Beside>
    IMAGEN_INLINE void sums(AmxConv3x3<typename S::Tiles>& conv, const Plane& x, const Chunk& at,
                            int panel, float* values, Beside& beside) const {
        if constexpr (rows > 1) {
            if (at.rows < rows) {
                return sums<rows - 1>(conv, x, at, panel, values, beside);
            }
        }
        conv.template run<rows>(x.at<Scalar>(at.n, at.y - 1, at.x - 1), x.row(), x.pixel, channels_,
                                weights_.panels.data + panel * weights_.panels.size,
                                static_cast<const float*>(bias_.data()) + panel * S::lanes, values,
                                beside);
    }

    // What is left to do of a chunk's channels whose products are there: a few pixels beside each of
    // the next products.
    template <class Sink>
    class Finish {
        using Put = decltype(std::declval<const Sink&>()(0, 0, 0, 0));
        static constexpr int kWide = Put::vectors * S::lanes;
        static constexpr int kSome = kRows / Put::vectors;  // pixels a step of the sum

    public:
        IMAGEN_INLINE explicit Finish(const Sink& sink) : sink_(sink) {}
        IMAGEN_INLINE void start(const Chunk& chunk, int channel, const float* products) {
            for (int row = 0; row < kRows && row < chunk.rows; ++row) {  // the compiler sees the end
                new (put_ + row) Put(sink_(chunk.n, chunk.y + row, chunk.x, channel));
            }
            chunk_ = chunk;
            values_ = products;
            row_ = column_ = 0;
        }
        // What a step's products, numbered from 0, have beside them: the first `pixels` of them
        // one pixel each.
        template <int pixels>
        struct Some {
            const Put* put;
            int column;
            const float* values;

            IMAGEN_INLINE void operator()(int product) const {
                if (put && product < pixels) {
                    (*put)(column + product, values + product * kWide);
                }
            }
        };
        // A step has no more pixels beside it than products: the last band has fewer rows, and so
        // fewer products a step.
        template <int products>
        IMAGEN_INLINE auto some() {
            constexpr int pixels = products < kSome ? products : kSome;
            if (row_ == chunk_.rows || column_ + pixels > chunk_.columns) {
                return Some<pixels>{nullptr, 0, nullptr};
            }
            const Some<pixels> next{&put(row_), column_,
                                    values_ + (row_ * kColumns + column_) * kWide};
            column_ += pixels;
            if (column_ == chunk_.columns) {
                column_ = 0;
                ++row_;
            }
            return next;
        }
        IMAGEN_INLINE void rest() {
            for (; row_ < chunk_.rows; ++row_, column_ = 0) {
                for (; column_ < chunk_.columns; ++column_) {
                    put(row_)(column_, values_ + (row_ * kColumns + column_) * kWide);
                }
            }
        }

    private:
        IMAGEN_INLINE const Put& put(int row) const {
            return *reinterpret_cast<const Put*>(put_ + row);
        }

        const Sink& sink_;
        Chunk chunk_{};
        int row_ = 0, column_ = 0;
        const float* values_ = nullptr;  // (rows, kColumns, kWide)
        struct alignas(Put) Place {
            std::byte bytes[sizeof(Put)];
        };
        Place put_[kRows];
    };

    static int along(const Plane& x) { return (x.width + kColumns - 1) / kColumns; }
    static int bands(const Plane& x) { return (x.height + kRows - 1) / kRows; }
    static int chunks(const Plane& x) { return x.images * bands(x) * along(x); }
    static Chunk chunk(const Plane& x, int i) {
        const int column = i % along(x) * kColumns, band = i / along(x);
        const int row = band % bands(x) * kRows;
        const int right = x.width - column, below = x.height - row;
        return {band / bands(x), row, column, below < kRows ? below : kRows,
                right < kColumns ? right : kColumns};
    }
    int channels_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
