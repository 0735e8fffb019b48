// Sums of a 3×3 convolution on a matrix unit: a column of up to four tiles of 16 pixels, one below
// the other, by a panel of 16 output channels.
//
// Vertical neighbours share rows of pixels: for each column of the 3×3 weights and 32 channels, six
// tiles of pixels and three of weights serve twelve products. Four sums, one tile of weights and
// three rows of pixels in flight are all eight tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "force_inline.h"

namespace imagen_fast::cpu {

template <class Unit, int rows>
class AmxConv3x3 {
    static constexpr int kWeights = 4, kPixels = 5;  // first tiles of operands; sums are 0 to 3

public:
    // c (rows, 16, c_row) = bias + the sums at `in`, the top left neighbour of the first pixel, in a
    // plane whose rows lie `row` elements apart. `weights` are in the order (kx, channel / 32, ky).
    // `beside` gives vector code to run beside the products of each tile of weights.
    template <class Beside>
    static IMAGEN_INLINE void run(const std::uint16_t* in, std::ptrdiff_t row, int channels,
                                  const std::uint16_t* weights, const float* bias, float* c,
                                  std::ptrdiff_t c_row, Beside& beside) {
        start(bias, std::make_integer_sequence<int, rows>());
        const std::ptrdiff_t pixel = 2 * channels;
        for (int i = 0; i < 3 * channels; i += 32, in += 32, weights += 3 * 512) {
            products<0>(in, row, pixel, weights, beside);
            products<1>(in, row, pixel, weights + 512, beside);
            products<2>(in, row, pixel, weights + 1024, beside);
        }
        store(c, c_row, std::make_integer_sequence<int, rows>());
    }

private:
    template <int... i>
    static IMAGEN_INLINE void start(const float* bias, std::integer_sequence<int, i...>) {
        (Unit::template load<i>(bias, 0), ...);
    }
    template <int... i>
    static IMAGEN_INLINE void store(float* c, std::ptrdiff_t c_row,
                                    std::integer_sequence<int, i...>) {
        (Unit::template store<i>(c + 16 * i * c_row, 4 * c_row), ...);
    }
    template <int ky, class Beside>
    static IMAGEN_INLINE void products(const std::uint16_t* in, std::ptrdiff_t row,
                                       std::ptrdiff_t pixel, const std::uint16_t* weights,
                                       Beside& beside) {
        const auto some = beside.template some<rows>();
        Unit::template load<kWeights>(weights, 64);
        products<ky>(in, row, pixel, some, std::make_integer_sequence<int, rows>());
    }
    template <int ky, class Some, int... i>
    static IMAGEN_INLINE void products(const std::uint16_t* in, std::ptrdiff_t row,
                                       std::ptrdiff_t pixel, const Some& some,
                                       std::integer_sequence<int, i...>) {
        (product<ky, i>(in, row, pixel, some), ...);
    }
    template <int ky, int i, class Some>
    static IMAGEN_INLINE void product(const std::uint16_t* in, std::ptrdiff_t row,
                                      std::ptrdiff_t pixel, const Some& some) {
        constexpr int pixels = kPixels + (ky + i) % 3;
        if constexpr (ky == 0 || i == rows - 1) {  // else a product of a weight above loaded it
            Unit::template load<pixels>(in + (ky + i) * row, pixel);
        }
        Unit::template dot<i, pixels, kWeights>();
        some(i);
    }
};

}  // namespace imagen_fast::cpu
