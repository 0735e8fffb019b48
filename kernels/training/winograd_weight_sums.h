// The gradients of a 3×3 convolution's weights by Winograd's algorithm: for each of the 36 numbers of
// a tile (A y' Aᵀ)ᵀ · Bᵀ x B, summed over tiles of one band after the other, and at last Gᵀ · G of that.
#pragma once

#include "../cpu/pieces.h"
#include "../cpu/winograd_transform.h"
#include "strip.h"

namespace imagen_fast::cpu {

// As DirectWeightSums.
template <class S>
class WinogradWeightSums {
    using Vec = typename S::Vec;
    using Transform = WinogradTransform<S>;
    static constexpr int m = Transform::m, kNumbers = Transform::a * Transform::a;
    static constexpr int kTiles = 24;  // at a time

public:
    // Output channels are a multiple of 8.
    IMAGEN_INLINE WinogradWeightSums(Pieces& pieces, int, int in, int out, int)
        : in_(in),
          out_(out),
          inputs_(pieces.take<float>(kTiles * tile(in))),
          gradients_(pieces.take<float>(kTiles * tile(out))) {}

    // (36, out, in)
    static IMAGEN_INLINE std::ptrdiff_t count(int in, int out) {
        return static_cast<std::ptrdiff_t>(kNumbers) * in * out;
    }
    static IMAGEN_INLINE void collect(const float* sums, int in, int out, int j, float* gradient) {
        for (int i = 0; i < in; i += S::lanes) {
            Vec g[3][3];
            Transform::filter_gradient_tile(sums + static_cast<std::ptrdiff_t>(j) * in + i,
                                            static_cast<std::ptrdiff_t>(in) * out, g);
            for (int tap = 0; tap < 9; ++tap) {
                float* const to = gradient + tap * in + i;
                S::store(to, S::add(S::load(to), g[tap / 3][tap % 3]));
            }
        }
    }

    IMAGEN_INLINE void add(const Strip<S>& x, const Strip<S>& y, int rows, float* sums) const {
        const Plane inputs = x.plane(rows), gradients = y.plane(rows);
        int count = 0;
        for (int top = 0; top < rows; top += m) {
            for (int left = 0; left < inputs.width; left += m) {
                transform(inputs, gradients, top, left, count++);
                if (count == kTiles) {
                    multiply(count, sums);
                    count = 0;
                }
            }
        }
        multiply(count, sums);
    }

private:
    // Floats of a tile, an odd number of cache lines.
    static IMAGEN_INLINE std::ptrdiff_t tile(int channels) { return kNumbers * channels + 16; }

    IMAGEN_INLINE void transform(const Plane& x, const Plane& y, int top, int left,
                                 int number) const {
        const float* from = x.at<float>(0, top - 1, left - 1);
        float* inputs = inputs_ + number * tile(in_);
        for (int i = 0; i < in_; i += S::lanes) {
            Transform::input_tile(from + i, x.row(), x.pixel, inputs + i, in_,
                                  [](const float* p) { return S::load(p); });
        }
        const float* back = y.at<float>(0, top, left);
        float* gradients = gradients_ + number * tile(out_);
        const std::ptrdiff_t row = y.row(), pixel = y.pixel;
        const int down = y.height - top, across = y.width - left;
        for (int j = 0; j < out_; j += S::lanes) {
            if (down >= m && across >= m) {
                Transform::output_gradient_tile(
                    [&](int i, int k) { return S::load(back + i * row + k * pixel + j); },
                    gradients + j, out_);
            } else {  // of what is beyond the picture or the band there are none
                Transform::output_gradient_tile(
                    [&](int i, int k) {
                        return i < down && k < across ? S::load(back + i * row + k * pixel + j)
                                                      : S::zero();
                    },
                    gradients + j, out_);
            }
        }
    }

    void multiply(int tiles, float* sums) const {
        for (int t = 0; t < kNumbers; ++t) {
            float* c = sums + static_cast<std::ptrdiff_t>(t) * in_ * out_;
            const float *a = gradients_ + t * out_, *b = inputs_ + t * in_;
            for (int i = 0; i < in_;) {
                const int columns = in_ - i >= 2 * S::lanes ? 2 : 1;
                columns == 2 ? multiply_columns<2>(a, b + i, tiles, c + i)
                             : multiply_columns<1>(a, b + i, tiles, c + i);
                i += columns * S::lanes;
            }
        }
    }
    // Six rows at a time, or four: two would wait for each other.
    template <int columns>
    void multiply_columns(const float* a, const float* b, int tiles, float* c) const {
        for (int j = 0; j < out_;) {
            const int left = out_ - j, rows = left % 6 == 0 || left > 8 ? 6 : 4;
            rows == 6 ? multiply_tile<6, columns>(a + j, b, tiles, c + j * in_)
                      : multiply_tile<4, columns>(a + j, b, tiles, c + j * in_);
            j += rows;
        }
    }
    template <int rows, int columns>
    IMAGEN_INLINE void multiply_tile(const float* IMAGEN_RESTRICT a, const float* IMAGEN_RESTRICT b,
                                     int tiles, float* IMAGEN_RESTRICT c) const {
        Vec sums[rows][columns];
        for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < columns; ++j) {
                sums[i][j] = S::load(c + i * in_ + j * S::lanes);
            }
        }
        const std::ptrdiff_t a_tile = tile(out_), b_tile = tile(in_);
        for (int k = 0; k < tiles; ++k, a += a_tile, b += b_tile) {
            Vec right[columns];
            for (int j = 0; j < columns; ++j) {
                right[j] = S::load(b + j * S::lanes);
            }
            for (int i = 0; i < rows; ++i) {
                const Vec left = S::set(a[i]);
                for (int j = 0; j < columns; ++j) {
                    sums[i][j] = S::fma(left, right[j], sums[i][j]);
                }
            }
        }
        for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < columns; ++j) {
                S::store(c + i * in_ + j * S::lanes, sums[i][j]);
            }
        }
    }

    int in_, out_;
    float *inputs_, *gradients_;  // (kTiles, 36, channels)
};

}  // namespace imagen_fast::cpu
