// 3×3 convolution by Winograd's F(2×2, 3×3) (Lavin and Gray 2015, arXiv:1509.09308).
//
// A tile of 4×4 inputs gives 2×2 outputs with 16 products per pair of channels instead of 36:
// Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A. The products become 16 GEMMs over blocks of tiles. In float the
// transforms only add and halve, and the result is as accurate as the direct sum; in bfloat16 it errs
// no more than PyTorch's direct sum does, measured on random and on trained weights.
//
// Results go in float to a sink: sink(n, y, x, count, values, stride) gets `count` pixels of row y
// from column x on. So what follows a convolution is its operator's own.
#pragma once

#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Winograd3x3 {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    template <class Order>
    Winograd3x3(const Convolution& conv, int out, Order order)
        : channels_(round_up(conv.in, kChannelMultiple)),
          weights_(16 * channels_, out, [](int, int) { return 0.0f; }),
          bias_(weights_.panels.width() * sizeof(float)) {
        // (panels, 16, C, columns): each panel holds the sixteen matrices one after the other.
        const Panels<S>& panels = weights_.panels;
        auto* packed = static_cast<Scalar*>(weights_.buffer.data());
        const int wide = panels.columns * S::lanes;
        for (int j = 0; j < out; ++j) {
            if (order(j) < 0) {
                continue;
            }
            static_cast<float*>(bias_.data())[j] = conv.bias[order(j)];
            for (int c = 0; c < conv.in; ++c) {
                double g[16];
                transform_filter(conv.weight + (order(j) * conv.in + c) * 9, g);
                for (int t = 0; t < 16; ++t) {
                    const int k = t * channels_ + c;
                    packed[j / wide * panels.size +
                           (static_cast<std::ptrdiff_t>(k / S::depth) * wide + j % wide) *
                               S::depth +
                           k % S::depth] = S::scalar(static_cast<float>(g[t]));
                }
            }
        }
    }

    int blocks(const Plane& x) const { return (tiles(x) + kTiles - 1) / kTiles; }
    std::size_t scratch() const {
        return 16 * (input_size() * sizeof(Scalar) + output_size() * sizeof(float)) +
               4 * weights_.panels.width() * sizeof(float);
    }

    // Block: kTiles tiles, counted row by row through all images.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, Sink sink) const {
        const int first = block * kTiles;
        const int count = tiles(x) - first < kTiles ? tiles(x) - first : kTiles;
        float* products = reinterpret_cast<float*>(scratch);  // (16, kTiles, out)
        float* values = products + 16 * output_size();        // (2, 2, out)
        auto* inputs = reinterpret_cast<Scalar*>(values + 4 * weights_.panels.width());
        for (int i = 0; i < count; ++i) {
            const Position at = position(x, first + i);
            transform_input(x.at<Scalar>(at.n, at.y - 1, at.x - 1), x.row(), inputs + i * channels_);
        }
        multiply(inputs, count, products);
        const int width = weights_.panels.width();
        for (int i = 0; i < count; ++i) {
            const Position at = position(x, first + i);
            transform_output(products + i * width, values);
            const int columns = x.width - at.x < 2 ? 1 : 2;
            sink(at.n, at.y, at.x, columns, values, width);
            if (at.y + 1 < x.height) {
                sink(at.n, at.y + 1, at.x, columns, values + 2 * width, width);
            }
        }
    }

private:
    static constexpr int kTiles = 24;  // a multiple of every register tile's rows

    struct Position {
        int n, y, x;
    };

    static int tiles(const Plane& x) {
        return x.images * ((x.height + 1) / 2) * ((x.width + 1) / 2);
    }
    static Position position(const Plane& x, int tile) {
        const int across = (x.width + 1) / 2, down = (x.height + 1) / 2;
        return {tile / across / down, tile / across % down * 2, tile % across * 2};
    }
    // Elements of one of the sixteen matrices; the odd cache line keeps them out of each other's
    // cache sets.
    std::ptrdiff_t input_size() const {
        return kTiles * channels_ + 64 / static_cast<int>(sizeof(Scalar));
    }
    std::ptrdiff_t output_size() const { return kTiles * weights_.panels.width() + 16; }

    // G g Gᵀ
    static void transform_filter(const float* g, double* out) {
        double half[4][3];
        for (int j = 0; j < 3; ++j) {
            const double a = g[j], b = g[3 + j], c = g[6 + j];
            half[0][j] = a;
            half[1][j] = (a + b + c) / 2;
            half[2][j] = (a - b + c) / 2;
            half[3][j] = c;
        }
        for (int i = 0; i < 4; ++i) {
            const double a = half[i][0], b = half[i][1], c = half[i][2];
            out[4 * i] = a;
            out[4 * i + 1] = (a + b + c) / 2;
            out[4 * i + 2] = (a - b + c) / 2;
            out[4 * i + 3] = c;
        }
    }

    // Bᵀ d B for the 4×4 pixels from `in` on; element t goes to matrix t.
    IMAGEN_INLINE void transform_input(const Scalar* IMAGEN_RESTRICT in, std::ptrdiff_t row,
                                       Scalar* IMAGEN_RESTRICT out) const {
        const std::ptrdiff_t next = input_size();
        for (int c = 0; c < channels_; c += S::lanes) {
            Vec d[4][4];
            for (int j = 0; j < 4; ++j) {
                const Scalar* p = in + j * channels_ + c;
                const Vec a = S::load(p), b = S::load(p + row), e = S::load(p + 2 * row),
                          f = S::load(p + 3 * row);
                d[0][j] = S::sub(a, e);
                d[1][j] = S::add(b, e);
                d[2][j] = S::sub(e, b);
                d[3][j] = S::sub(b, f);
            }
            for (int i = 0; i < 4; ++i) {
                Scalar* p = out + 4 * i * next + c;
                S::store(p, S::sub(d[i][0], d[i][2]));
                S::store(p + next, S::add(d[i][1], d[i][2]));
                S::store(p + 2 * next, S::sub(d[i][2], d[i][1]));
                S::store(p + 3 * next, S::sub(d[i][1], d[i][3]));
            }
        }
    }

    void multiply(const Scalar* inputs, int count, float* products) const {
        const Panels<S>& all = weights_.panels;
        for (int t = 0; t < 16; ++t) {
            // The panels of matrix t lie all.size apart, but are only a sixteenth of it long.
            const Panels<S> panels{all.data + t * (all.size / 16), all.columns, all.count,
                                   all.size};
            const Rows<S> rows{{inputs + t * input_size()}, 1, channels_, channels_, count};
            gemm(rows, panels, nullptr, products + t * output_size(), all.width());
        }
    }

    // Aᵀ m A + bias → (2, 2, out)
    IMAGEN_INLINE void transform_output(const float* IMAGEN_RESTRICT in,
                                        float* IMAGEN_RESTRICT out) const {
        const std::ptrdiff_t next = output_size();
        const int width = weights_.panels.width();
        const float* bias = static_cast<const float*>(bias_.data());
        for (int c = 0; c < width; c += S::lanes) {
            Vec s[2][4];
            for (int j = 0; j < 4; ++j) {
                const float* p = in + j * next + c;
                const Vec a = S::load(p), b = S::load(p + 4 * next), e = S::load(p + 8 * next),
                          f = S::load(p + 12 * next);
                s[0][j] = S::add(a, S::add(b, e));
                s[1][j] = S::sub(S::sub(b, e), f);
            }
            const Vec start = S::load(bias + c);
            for (int i = 0; i < 2; ++i) {
                float* p = out + 2 * i * width + c;
                S::store(p, S::add(S::add(start, s[i][0]), S::add(s[i][1], s[i][2])));
                S::store(p + width, S::add(start, S::sub(S::sub(s[i][1], s[i][2]), s[i][3])));
            }
        }
    }

    int channels_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
