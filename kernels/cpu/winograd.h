// 3×3 convolution by Winograd's F(4×4, 3×3) (Lavin and Gray 2015, arXiv:1509.09308).
//
// A tile of 6×6 inputs gives 4×4 outputs with 36 products per pair of channels instead of 144:
// Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A. The products become 36 GEMMs over blocks of tiles.
//
// Results go in float to a sink: sink(n, y, x, channel) gives a Put, whose put(i, values) takes
// Put::vectors vectors of channels from `channel` on of pixel x + i in row y. So what follows a
// convolution is its operator's own. put.down() goes on to the next row, and
// sink.prefetch(n, y, x, rows, columns) says which pixels will be put.
#pragma once

#include <type_traits>

#include "gemm.h"
#include "op.h"
#include "winograd_rounding.h"
#include "winograd_transform.h"

namespace imagen_fast::cpu {

// Which elements of a pixel the products sum over: vectors that hold a channel. Others only pad.
template <class S>
class UsedVectors {
    using Scalar = typename S::Scalar;

public:
    enum class Part { all, even, odd };  // of the elements from `first` on
    struct Vector {
        int first;
        Part part;
    };

    explicit UsedVectors(const Convolution& conv)
        : vectors_(conv.padded() / S::lanes * sizeof(Vector)) {
        const int all = conv.padded() / S::lanes;
        for (int v = 0; v < all; ++v) {
            const int first = v * S::lanes;
            if (S::splits && v + 1 < all && used(conv, v) && used(conv, v + 1)) {
                add({first, Part::even});
                add({first, Part::odd});
                ++v;
            } else if (used(conv, v)) {
                add({first, Part::all});
            }
        }
    }

    int count() const { return count_; }
    Vector operator[](int i) const { return static_cast<const Vector*>(vectors_.data())[i]; }
    // Which element of a pixel is the k-th of a sum.
    int element(int k) const {
        const Vector v = (*this)[k / S::lanes];
        const int lane = k % S::lanes;
        return v.first + (v.part == Part::all ? lane : 2 * lane + (v.part == Part::odd));
    }

private:
    static bool used(const Convolution& conv, int vector) {
        for (int i = 0; i < S::lanes; ++i) {
            if (conv.channel(vector * S::lanes + i) >= 0) {
                return true;
            }
        }
        return false;
    }
    void add(Vector v) { static_cast<Vector*>(vectors_.data())[count_++] = v; }

    Buffer vectors_;
    int count_ = 0;
};

template <class S>
class Winograd3x3 {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    using Transform = WinogradTransform<S>;
    static constexpr int m = Transform::m, a = Transform::a;  // sides of output and input tiles
    static constexpr int kTiles = 24;       // at a time; a multiple of most register tiles' rows
    // Tiles across a strip: the rows that two rows of tiles share are still in the second-level
    // cache when the lower one reads them.
    static constexpr int kStrip = 3 * kTiles;

public:
    // Output channel j is order(j) of the weights, or zero where that is negative.
    template <class Order>
    Winograd3x3(const Convolution& conv, int out, Order order)
        : used_(conv),
          channels_(used_.count() * S::lanes),
          out_(out),
          weights_(a * a * channels_, used(out, order), [](int, int) { return 0.0f; }),
          bias_(weights_.panels.width() * sizeof(float)) {
        // Each panel holds the 36 matrices (C, columns) one after the other.
        const WinogradRounding<S> rounding;
        for (int j = 0; j < out; ++j) {
            if (order(j) < 0) {
                continue;
            }
            static_cast<float*>(bias_.data())[j] = conv.bias[order(j)];
            for (int first = 0; first < channels_; first += S::lanes) {
                float g[a * a][S::lanes] = {};
                for (int i = 0; i < S::lanes; ++i) {
                    const int c = conv.channel(used_.element(first + i));
                    if (c >= 0) {
                        transform_filter(conv.weight + (order(j) * conv.in + c) * 9, g, i);
                    }
                }
                if constexpr (!std::is_same_v<Scalar, float>) {
                    rounding.round(g);
                }
                for (int t = 0; t < a * a; ++t) {
                    for (int i = 0; i < S::lanes; ++i) {
                        weights_.set(t * channels_ + first + i, j, g[t][i]);
                    }
                }
            }
        }
    }

    int blocks(const Plane& x) const { return (tiles(x) + kTiles - 1) / kTiles; }
    std::size_t scratch() const {
        return kTiles * (input_size() * sizeof(Scalar) + output_size() * sizeof(float)) +
               m * m * wide() * sizeof(float);
    }

    // Block: kTiles tiles, counted as `position` does.
    template <class Sink>
    void run(int block, const Plane& x, std::byte* scratch, Sink sink) const {
        const int first = block * kTiles, width = wide();
        const int count = tiles(x) - first < kTiles ? tiles(x) - first : kTiles;
        float* products = reinterpret_cast<float*>(scratch);  // (kTiles, 36, out)
        float* values = products + kTiles * output_size();    // (4, 4, out)
        auto* inputs = reinterpret_cast<Scalar*>(values + m * m * width);
        Position at[kTiles];
        for (int i = 0; i < count; ++i) {
            at[i] = position(x, first + i);
            transform_input(x.at<Scalar>(at[i].n, at[i].y - 1, at[i].x - 1), x.row(), x.pixel,
                            inputs + i * input_size());
        }
        for (int i = 0; i < count; ++i) {
            sink.prefetch(at[i].n, at[i].y, at[i].x, rows(x, at[i]), columns(x, at[i]));
        }
        multiply(inputs, count, products);
        for (int i = 0; i < m * m; ++i) {  // what only pads the output's channels
            for (int c = weights_.panels.width(); c < width; c += S::lanes) {
                S::store(values + i * width + c, S::zero());
            }
        }
        for (int i = 0; i < count; ++i) {
            transform_output(products + i * output_size(), values);
            const int down = rows(x, at[i]), across = columns(x, at[i]);
            using Put = decltype(sink(0, 0, 0, 0));
            for (int c = 0; c < out_; c += Put::vectors * S::lanes) {
                Put put = sink(at[i].n, at[i].y, at[i].x, c);
                for (int dy = 0; dy < down; ++dy, put.down()) {
                    for (int dx = 0; dx < across; ++dx) {
                        put(dx, values + (dy * m + dx) * width + c);
                    }
                }
            }
        }
    }

private:
    struct Position {
        int n, y, x;
    };

    // Of a tile, those that are within the picture.
    static int rows(const Plane& x, const Position& at) {
        return x.height - at.y < m ? x.height - at.y : m;
    }
    static int columns(const Plane& x, const Position& at) {
        return x.width - at.x < m ? x.width - at.x : m;
    }

    // Output channels that weights are packed for: without the last ones that are all zero.
    template <class Order>
    static int used(int out, Order order) {
        while (out > 1 && order(out - 1) < 0) {
            --out;
        }
        return out;
    }
    // Elements of a pixel of values.
    int wide() const { return out_ > weights_.panels.width() ? out_ : weights_.panels.width(); }

    static int along(int size) { return (size + m - 1) / m; }
    static int tiles(const Plane& x) { return x.images * along(x.height) * along(x.width); }
    // Tiles go row by row down a strip of the picture, and strip after strip.
    static Position position(const Plane& x, int tile) {
        const int across = along(x.width), down = along(x.height);
        const int n = tile / across / down, within = tile - n * across * down;
        const int strip = within / (kStrip * down), left = strip * kStrip;
        const int wide = across - left < kStrip ? across - left : kStrip;
        const int place = within - left * down;
        return {n, place / wide * m, (left + place % wide) * m};
    }
    // Elements of one tile, all 36 of its vectors: the transforms then work within a few pages. The
    // odd cache line keeps the rows of a GEMM out of each other's cache sets.
    std::ptrdiff_t input_size() const {
        return a * a * channels_ + 64 / static_cast<int>(sizeof(Scalar));
    }
    std::ptrdiff_t output_size() const { return a * a * weights_.panels.width() + 16; }

    // G g Gᵀ → (6, 6, lanes), one of the lanes
    static void transform_filter(const float* g, float (*out)[S::lanes], int lane) {
        double columns[a][3];
        for (int j = 0; j < 3; ++j) {
            double column[a];
            Transform::filter(g[j], g[3 + j], g[6 + j], column);
            for (int i = 0; i < a; ++i) {
                columns[i][j] = column[i];
            }
        }
        for (int i = 0; i < a; ++i) {
            double row[a];
            Transform::filter(columns[i][0], columns[i][1], columns[i][2], row);
            for (int j = 0; j < a; ++j) {
                out[a * i + j][lane] = static_cast<float>(row[j]);
            }
        }
    }

    // Bᵀ d B for the 6×6 pixels from `in` on → (6, 6, C)
    IMAGEN_INLINE void transform_input(const Scalar* IMAGEN_RESTRICT in, std::ptrdiff_t row,
                                       std::ptrdiff_t pixel,
                                       Scalar* IMAGEN_RESTRICT out) const {
        for (int i = 0; i < used_.count(); ++i, out += S::lanes) {
            const auto v = used_[i];
            if constexpr (S::splits) {
                if (v.part == UsedVectors<S>::Part::even) {
                    Transform::input_tile(in + v.first, row, pixel, out, channels_,
                                          [](const Scalar* p) { return S::load_even(p); });
                    continue;
                }
                if (v.part == UsedVectors<S>::Part::odd) {
                    Transform::input_tile(in + v.first, row, pixel, out, channels_,
                                          [](const Scalar* p) { return S::load_odd(p); });
                    continue;
                }
            }
            Transform::input_tile(in + v.first, row, pixel, out, channels_,
                                  [](const Scalar* p) { return S::load(p); });
        }
    }
    void multiply(const Scalar* inputs, int count, float* products) const {
        const Panels<S>& all = weights_.panels;
        for (int t = 0; t < a * a; ++t) {
            // The panels of matrix t lie all.size apart, but each is only a part of it long.
            const Panels<S> panels{all.data + t * (all.size / (a * a)), all.columns, all.count,
                                   all.size};
            const Rows<S> rows{{inputs + t * channels_}, 1, channels_, input_size(), count};
            gemm(rows, panels, nullptr, products + t * all.width(), output_size());
        }
    }

    // Aᵀ y A + bias → (4, 4, out)
    IMAGEN_INLINE void transform_output(const float* IMAGEN_RESTRICT in,
                                        float* IMAGEN_RESTRICT out) const {
        const int width = weights_.panels.width(), out_width = wide();
        const float* bias = static_cast<const float*>(bias_.data());
        for (int c = 0; c < width; c += S::lanes) {
            Vec columns[m][a];
            for (int j = 0; j < a; ++j) {
                Vec y[a], r[m];
                for (int i = 0; i < a; ++i) {
                    y[i] = S::load(in + (i * a + j) * width + c);
                }
                Transform::output(y, r);
                for (int i = 0; i < m; ++i) {
                    columns[i][j] = r[i];
                }
            }
            const Vec start = S::load(bias + c);
            for (int i = 0; i < m; ++i) {
                Vec r[m];
                Transform::output(columns[i], r);
                for (int j = 0; j < m; ++j) {
                    S::store(out + (i * m + j) * out_width + c, S::add(start, r[j]));
                }
            }
        }
    }

    UsedVectors<S> used_;
    int channels_;  // that a sum is over
    int out_;
    Matrix<S> weights_;
    Buffer bias_;
};

}  // namespace imagen_fast::cpu
