// Sums of a 3×3 convolution on a matrix unit: a column of up to four tiles of 16 pixels, one below
// the other, by a panel of 16 output channels.
//
// Vertical neighbours share rows of pixels: for each column of the 3×3 weights and 32 channels, six
// tiles of pixels and three of weights serve twelve products. Four sums, one tile of weights and
// three rows of pixels in flight are all eight tiles. As in amx_products.h, sums stay in their tiles
// until the next ones need these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "force_inline.h"

namespace imagen_fast::cpu {

template <class Unit>
class AmxConv3x3 {
    static constexpr int kWeights = 4, kPixels = 5;  // first tiles of operands; sums are 0 to 3

public:
    // c (4, 16, c_row): where the first call stores what is in the tiles before it.
    AmxConv3x3(float* c, std::ptrdiff_t c_row) : c_(c), c_row_(c_row) {}
    AmxConv3x3(const AmxConv3x3&) = delete;
    AmxConv3x3& operator=(const AmxConv3x3&) = delete;

    // The first `rows` of c (4, 16, c_row) = bias + the sums at `in`, the top left neighbour of the
    // first pixel, in a plane whose rows lie `row` and pixels `pixel_elements` elements apart. `weights` are in the order
    // (kx, channel / 32, ky). `beside` gives vector code to run beside the products of each tile of
    // weights. Row i is in c once the next call has come to its product i, or finish to its end.
    template <int rows, class Beside>
    IMAGEN_INLINE void run(const std::uint16_t* in, std::ptrdiff_t row, int pixel_elements,
                           int channels, const std::uint16_t* weights, const float* bias, float* c,
                           Beside& beside) {
        const std::ptrdiff_t pixel = 2 * pixel_elements;
        start<rows>(in, row, pixel, weights, bias, beside, Sums<rows>());
        products<1>(in, row, pixel, weights + 512, beside, Sums<rows>());
        products<2>(in, row, pixel, weights + 1024, beside, Sums<rows>());
        for (int kx = 0, from = 32; kx < 3; ++kx, from = 0) {
            for (int i = from; i < channels; i += 32) {
                const std::uint16_t* at = in + kx * pixel_elements + i;
                weights += 3 * 512;
                products<0>(at, row, pixel, weights, beside, Sums<rows>());
                products<1>(at, row, pixel, weights + 512, beside, Sums<rows>());
                products<2>(at, row, pixel, weights + 1024, beside, Sums<rows>());
            }
        }
        c_ = c;
    }
    IMAGEN_INLINE void finish() const {
        store<0>();
        store<1>();
        store<2>();
        store<3>();
    }

private:
    template <int rows>
    using Sums = std::make_integer_sequence<int, rows>;

    template <int i>
    IMAGEN_INLINE void store() const {
        Unit::template store<i>(c_ + 16 * i * c_row_, 4 * c_row_);
    }
    template <int i>
    IMAGEN_INLINE void restart(const float* bias) const {
        store<i>();
        Unit::template load<i>(bias, 0);
    }

    template <int rows, class Beside, int... i>
    IMAGEN_INLINE void start(const std::uint16_t* in, std::ptrdiff_t row, std::ptrdiff_t pixel,
                             const std::uint16_t* weights, const float* bias, Beside& beside,
                             std::integer_sequence<int, i...>) const {
        const auto some = beside.template some<rows>();
        Unit::template load_once<kWeights>(weights, 64);
        ((restart<i>(bias), product<rows, 0, i>(in, row, pixel, some)), ...);
        if constexpr (rows < 2) store<1>();
        if constexpr (rows < 3) store<2>();
        if constexpr (rows < 4) store<3>();
    }
    template <int ky, class Beside, int... i>
    IMAGEN_INLINE void products(const std::uint16_t* in, std::ptrdiff_t row, std::ptrdiff_t pixel,
                                const std::uint16_t* weights, Beside& beside,
                                std::integer_sequence<int, i...>) const {
        constexpr int rows = sizeof...(i);
        const auto some = beside.template some<rows>();
        Unit::template load_once<kWeights>(weights, 64);
        (product<rows, ky, i>(in, row, pixel, some), ...);
    }
    template <int rows, int ky, int i, class Some>
    static IMAGEN_INLINE void product(const std::uint16_t* in, std::ptrdiff_t row,
                                      std::ptrdiff_t pixel, const Some& some) {
        constexpr int pixels = kPixels + (ky + i) % 3;
        if constexpr (ky == 0 || i == rows - 1) {  // else a product of a weight above loaded it
            Unit::template load<pixels>(in + (ky + i) * row, pixel);
        }
        Unit::template dot<i, pixels, kWeights>();
        some(i);
    }

    float* c_;  // of the sums in the tiles
    std::ptrdiff_t c_row_;
};

}  // namespace imagen_fast::cpu
