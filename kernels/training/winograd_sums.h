// Sums over the neighbours of pixels by Winograd's algorithm (../cpu/winograd.h), which reads a band
// (strip.h) as a plane: for float, at a third of the products.
#pragma once

#include "../cpu/buffer.h"
#include "../cpu/pieces.h"
#include "../cpu/winograd.h"
#include "conv3x3_weights.h"
#include "strip.h"

namespace imagen_fast::cpu {

// As DirectSums.
template <class S>
class WinogradSums {
public:
    explicit WinogradSums(const Conv3x3Weights& w)
        : WinogradSums(w.in, w.out, [&](int i, int j, int tap) { return w.at(j, tap)[i]; },
                       [&](int j) { return w.bias[w.ordered(j)]; }) {}
    WinogradSums(const Conv3x3Weights& w, Turned)
        : WinogradSums(w.out, w.in, [&](int i, int j, int tap) { return w.at(i, 8 - tap)[j]; },
                       [](int) { return 0.0f; }) {}

    // Of a band: whole tiles.
    static IMAGEN_INLINE int rows(const Plane& x) {
        return round_up(Strip<S>::rows_of(x, kBandPixels), WinogradTransform<S>::m);
    }
    float* memory(Pieces& pieces) const {
        return pieces.take<float>(winograd_.scratch() / sizeof(float));
    }

    template <class Finish>
    class Bands {
    public:
        Bands(const Winograd3x3<S>& winograd, const Strip<S>& strip, float* memory,
              const Finish& finish)
            : winograd_(winograd), strip_(strip), memory_(memory), finish_(finish) {}

        IMAGEN_INLINE void run(int line, int rows) const {
            const Plane plane = strip_.plane(rows);
            for (int block = 0; block < winograd_.blocks(plane); ++block) {
                winograd_.run(block, plane, reinterpret_cast<std::byte*>(memory_),
                              Sink{finish_, line});
            }
        }

    private:
        // All channels of a pixel at once.
        struct Put {
            static constexpr int vectors = 1 << 16;
            const Finish& finish;
            int line, x;

            IMAGEN_INLINE void operator()(int i, const float* sums) const {
                finish(line, x + i, sums);
            }
            IMAGEN_INLINE void down() { ++line; }
        };
        struct Sink {
            const Finish& finish;
            int line;

            IMAGEN_INLINE Put operator()(int, int y, int x, int) const {
                return {finish, line + y, x};
            }
            IMAGEN_INLINE void prefetch(int, int, int, int, int) const {}
        };

        const Winograd3x3<S>& winograd_;
        const Strip<S>& strip_;
        float* memory_;
        const Finish& finish_;
    };

    template <class Finish>
    IMAGEN_INLINE Bands<Finish> bands(const Strip<S>& strip, float* memory,
                                      const Finish& finish) const {
        return {winograd_, strip, memory, finish};
    }

private:
    // The weights in the order of Convolution, (out, in, 3, 3), and the bias behind them.
    class Weights {
    public:
        template <class Weight, class Bias>
        Weights(int in, int out, const Weight& weight, const Bias& bias)
            : buffer_(sizeof(float) * (9 * in + 1) * out), in_(in), out_(out) {
            float* to = static_cast<float*>(buffer_.data());
            for (int j = 0; j < out; ++j) {
                for (int i = 0; i < in; ++i) {
                    for (int tap = 0; tap < 9; ++tap) {
                        *to++ = weight(i, j, tap);
                    }
                }
            }
            for (int j = 0; j < out; ++j) {
                *to++ = bias(j);
            }
        }
        Convolution convolution() const {
            const auto* weight = static_cast<const float*>(buffer_.data());
            return {weight, weight + static_cast<std::ptrdiff_t>(9) * in_ * out_, in_, out_};
        }

    private:
        Buffer buffer_;
        int in_, out_;
    };

    template <class Weight, class Bias>
    WinogradSums(int in, int out, const Weight& weight, const Bias& bias)
        : winograd_(Weights(in, out, weight, bias).convolution(), out, [](int j) { return j; }) {}

    Winograd3x3<S> winograd_;
};

}  // namespace imagen_fast::cpu
