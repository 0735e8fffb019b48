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
          weights_(9 * channels_, used(out, order),
                   [&](int i, int j) {  // i = (kx, c / 32, ky, c % 32)
                       const int c = conv.channel(i / 96 % (channels_ / 32) * 32 + i % 32);
                       const int tap = i / 32 % 3 * 3 + i / (3 * channels_);
                       return c >= 0 && order(j) >= 0
                                  ? conv.weight[(order(j) * conv.in + c) * 9 + tap]
                                  : 0.0f;
                   }),
          bias_(weights_.panels.width() * sizeof(float)) {
        for (int j = 0; j < used(out, order); ++j) {
            static_cast<float*>(bias_.data())[j] = order(j) < 0 ? 0.0f : conv.bias[order(j)];
        }
    }

    int panels() const { return weights_.panels.count; }
    int blocks(const Plane& x) const { return (chunks(x) + kChunks - 1) / kChunks; }
    std::size_t scratch() const { return 4 * kValues * sizeof(float); }

    // Block: kChunks chunks, counted along a band of kRows rows, and band after band.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, const Sink& sink) const {
        // A chunk's pixels are finished beside the products of its next channels, some a step: as
        // few as suffice, because the less there is at once, the better it fits.
        constexpr int vectors = decltype(sink(0, 0, 0, 0))::vectors;
        constexpr int few = 4 / vectors;
        if (few * 9 * vectors * channels_ / 32 >= kRows * kColumns) {
            run<few>(block, x, scratch, sink);
        } else {
            run<2 * few>(block, x, scratch, sink);
        }
    }

private:
    template <int some, class Sink>
    void run(int block, const Plane& x, std::byte* scratch, const Sink& sink) const {
        constexpr int vectors = decltype(sink(0, 0, 0, 0))::vectors, wide = vectors * S::lanes;
        const int first = block * kChunks, panels = weights_.panels.count;
        const int end = chunks(x) - first < kChunks ? chunks(x) : first + kChunks;
        float* values = reinterpret_cast<float*>(scratch);
        float* other = values + kValues;
        // Products of the last panel where it has no second: zeros stay beside them.
        float* odd = other + kValues;
        float* other_odd = odd + kValues;
        if (panels % vectors) {
            for (int i = 0; i < 2 * kValues; i += S::lanes) {
                S::store(odd + i, S::zero());
            }
        }
        Finish<Sink, some> finish(sink);
        AmxConv3x3<typename S::Tiles> conv(values, wide);
        for (int i = first; i < end; ++i) {
            const Chunk at = chunk(x, i);
            for (int panel = 0; panel < panels; panel += vectors) {
                const bool last = panels - panel < vectors;
                float*& here = last ? odd : values;
                float*& next = last ? other_odd : other;
                if (at.rows < kRows) {
                    conv.finish();  // what rest finishes may be in its tiles yet
                    finish.rest();
                }
                for (int j = 0; j < vectors && panel + j < panels; ++j) {
                    float* const c = here + j * S::lanes;
                    if (at.rows == kRows) {
                        sums<kRows>(conv, x, at, panel + j, c, finish);
                    } else {
                        fewer<kRows - 1>(conv, x, at, panel + j, c);
                    }
                }
                finish.rest();
                finish.start(at, panel * S::lanes, here);
                float* const used = here;
                here = next;
                next = used;
            }
        }
        conv.finish();
        finish.rest();
    }

    struct Chunk {
        int n, y, x, rows, columns;
    };

    // The sums of a panel of channels, for so many rows of a chunk.
    template <int rows, class Beside>
    IMAGEN_INLINE void sums(AmxConv3x3<typename S::Tiles>& conv, const Plane& x, const Chunk& at,
                            int panel, float* values, Beside& beside) const {
        conv.template run<rows>(x.at<Scalar>(at.n, at.y - 1, at.x - 1), x.row(), x.pixel, channels_,
                                weights_.panels.data + panel * weights_.panels.size,
                                static_cast<const float*>(bias_.data()) + panel * S::lanes, values,
                                beside);
    }
    // Of the last band, which may have fewer rows: with nothing beside, whatever the sink.
    template <int rows>
    void fewer(AmxConv3x3<typename S::Tiles>& conv, const Plane& x, const Chunk& at, int panel,
               float* values) const {
        if constexpr (rows > 0) {
            if (at.rows == rows) {
                Nothing beside;
                sums<rows>(conv, x, at, panel, values, beside);
            } else {
                fewer<rows - 1>(conv, x, at, panel, values);
            }
        }
    }
    struct Nothing {
        template <int products>
        IMAGEN_INLINE auto some() const {
            return [](int) {};
        }
    };

    // What is left to do of a chunk's channels whose products are there: `pixels` of them beside each
    // step of the next products.
    template <class Sink, int pixels>
    class Finish {
        using Put = decltype(std::declval<const Sink&>()(0, 0, 0, 0));
        static constexpr int kWide = Put::vectors * S::lanes;

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
        // What a step's products, numbered from 0, have beside them.
        template <int products>
        struct Some {
            static constexpr int kEach = (pixels + products - 1) / products;

            const Put* put;
            int column;
            const float* values;

            IMAGEN_INLINE void operator()(int product) const {
                if (!put) {
                    return;
                }
                for (int i = product * kEach; i < (product + 1) * kEach && i < pixels; ++i) {
                    (*put)(column + i, values + i * kWide);
                }
            }
        };
        template <int products>
        IMAGEN_INLINE auto some() {
            if (row_ == chunk_.rows || column_ + pixels > chunk_.columns) {
                return Some<products>{nullptr, 0, nullptr};
            }
            const Some<products> next{&put(row_), column_,
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

    // Output channels that weights are packed for: whole panels, without those that are all zero.
    template <class Order>
    static int used(int out, Order order) {
        while (out > S::lanes && order(out - 1) < 0) {
            --out;
        }
        return round_up(out, S::lanes);
    }
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
