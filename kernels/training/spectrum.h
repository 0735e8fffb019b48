// How far two pictures' spectra are from each other, and how that changes with the first: the sum of
// |Z|, Z the orthonormal transform of their difference, over the frequencies of a real transform.
//
// For the sides of patches a discrete Fourier transform is two products with matrices of cosines and
// sines, which a matrix unit does in less time than a fast transform takes; the gradient, the way back
// of Z / |Z|, is two more.
#pragma once

#include <cmath>

#include "../cpu/attention.h"
#include "op.h"
#include "operands.h"

namespace imagen_fast::cpu {

template <class S>
class SpectrumDistance final : public SpectrumOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int kStep = 2 * S::lanes;

public:
    SpectrumDistance(int height, int width)
        : height_(height),
          width_(width),
          rows_(round_up(height, kStep)),
          columns_(round_up(width, kStep)),
          half_(round_up(width / 2 + 1, S::lanes)),
          panels_(4 * columns_ * half_ * sizeof(Scalar)),
          across_(static_cast<Scalar*>(panels_.data()), columns_, 2 * half_),
          back_(across_.data + across_.elements(), 2 * half_, columns_),
          squares_(8 * rows_ * rows_ * sizeof(Scalar)) {
        for (int x = 0; x < width; ++x) {
            for (int f = 0; f < width / 2 + 1; ++f) {
                const Turn turn(f, x, width);
                across_.set(x, f, turn.cosine);
                across_.set(x, half_ + f, -turn.sine);
                back_.set(f, x, turn.cosine);
                back_.set(half_ + f, x, -turn.sine);
            }
        }
        // (cos - i sin)(a + ib) = (cos a + sin b) + i(cos b - sin a)
        for (int y = 0; y < height; ++y) {
            for (int f = 0; f < height; ++f) {
                const Turn turn(f, y, height);
                quarters(down(), f, y, turn.cosine, turn.sine);
                quarters(up(), y, f, turn.cosine, -turn.sine);
            }
        }
    }

    int blocks(const SpectrumArgs& args) const override { return args.images * args.channels; }
    std::size_t scratch(const SpectrumArgs&) const override {
        Pieces pieces(nullptr);
        (void)Memory(*this, pieces);
        return pieces.used();
    }

    // Block: one channel of one picture.
    double run(int block, const SpectrumArgs& args, std::byte* scratch) const override {
        Pieces pieces(scratch);
        const Memory m(*this, pieces);
        const std::ptrdiff_t start =
            static_cast<std::ptrdiff_t>(block / args.channels) * height_ * width_ * args.channels +
            block % args.channels;
        // Of RGB the distance between samples is known where this is compiled.
        if (args.channels == 3) {
            difference(args.a + start, args.b + start, Constant3(), m.rows);
        } else {
            difference(args.a + start, args.b + start, args.channels, m.rows);
        }
        multiply(m.rows, columns_, rows_, across_, m.products, 2 * half_);
        m.right.fill(m.products, 2 * half_, 0, rows_);
        m.right.fill(m.products + half_, 2 * half_, rows_, rows_);
        multiply(down(), 2 * rows_, 2 * rows_, m.right, m.products, half_);
        const double sum = directions(m);
        multiply(up(), 2 * rows_, 2 * rows_, m.right, m.products, half_);
        for (int y = 0; y < rows_; ++y) {
            for (int f = 0; f < half_; f += S::lanes) {
                const float* from = m.products + y * half_ + f;
                S::store(m.rows + y * 2 * half_ + f, S::load(from));
                S::store(m.rows + y * 2 * half_ + half_ + f, S::load(from + rows_ * half_));
            }
        }
        multiply(m.rows, 2 * half_, rows_, back_, m.products, columns_);
        if (args.channels == 3) {
            put(m.products, args.scale, Constant3(), args.gradient + start);
        } else {
            put(m.products, args.scale, args.channels, args.gradient + start);
        }
        return sum * args.scale;
    }

private:
    using Constant3 = std::integral_constant<int, 3>;

    // e^(2πi f x / n) / √n
    struct Turn {
        float cosine, sine;

        Turn(int f, int x, int n) {
            constexpr double kTurn = 6.283185307179586;
            const double angle = kTurn * (static_cast<long long>(f) * x % n) / n, root = std::sqrt(n);
            cosine = static_cast<float>(std::cos(angle) / root);
            sine = static_cast<float>(std::sin(angle) / root);
        }
    };

    struct Memory {
        Scalar* rows;     // (H, W), or real and imaginary parts beside each other
        float* products;  // one below the other, (2H, half), or one of these two
        Right<S> right;   // (2H, half)

        IMAGEN_INLINE Memory(const SpectrumDistance& a, Pieces& pieces)
            : rows(pieces.take<Scalar>(a.rows_ * a.widest())),
              products(pieces.take<float>(a.rows_ * a.widest())),
              right(pieces.take<Scalar>(2 * a.rows_ * a.half_), 2 * a.rows_, a.half_) {}
    };

    int widest() const { return columns_ > 2 * half_ ? columns_ : 2 * half_; }
    Scalar* down() const { return static_cast<Scalar*>(squares_.data()); }
    Scalar* up() const { return down() + 4 * rows_ * rows_; }

    // Element (i, j) of each quarter of a square: [c, s; -s, c].
    void quarters(Scalar* square, int i, int j, float c, float s) const {
        Scalar* const upper = square + i * 2 * rows_ + j;
        Scalar* const lower = upper + 2 * rows_ * rows_;
        upper[0] = lower[rows_] = S::scalar(c);
        upper[rows_] = S::scalar(s);
        lower[0] = S::scalar(-s);
    }

    static IMAGEN_INLINE void multiply(const Scalar* a, std::ptrdiff_t stride, int count,
                                       const Right<S>& b, float* c, std::ptrdiff_t c_row) {
        gemm(Rows<S>{{a}, 1, b.k, stride, count}, b.panels, nullptr, c, c_row);
    }

    // a - b → (H, W), completed with zeros
    template <class Step>
    void difference(const float* IMAGEN_RESTRICT a, const float* IMAGEN_RESTRICT b, Step step,
                    Scalar* IMAGEN_RESTRICT out) const {
        alignas(64) float row[SpectrumOp::kMostSide];
        for (int x = width_; x < columns_; ++x) {
            row[x] = 0;
        }
        for (int y = 0; y < rows_; ++y, out += columns_) {
            for (int x = 0; x < width_; ++x) {
                const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(y) * width_ + x) * step;
                row[x] = y < height_ ? a[at] - b[at] : 0.0f;
            }
            for (int x = 0; x < columns_; x += S::lanes) {
                S::store(out + x, S::load(row + x));
            }
        }
    }
    template <class Step>
    void put(const float* IMAGEN_RESTRICT products, float scale, Step step,
             float* IMAGEN_RESTRICT out) const {
        for (int y = 0; y < height_; ++y) {
            for (int x = 0; x < width_; ++x) {
                out[(static_cast<std::ptrdiff_t>(y) * width_ + x) * step] =
                    scale * products[y * columns_ + x];
            }
        }
    }

    // Z / |Z| → panels; returns the sum of |Z|.
    double directions(const Memory& m) const {
        double all = 0;
        for (int f = 0; f < rows_; f += 2) {
            Vec sum = S::zero();
            for (int j = 0; j < half_; j += S::lanes) {
                Vec real[2], imaginary[2];
                for (int i = 0; i < 2; ++i) {
                    const float* at = m.products + (f + i) * half_ + j;
                    const Vec a = S::load(at), b = S::load(at + rows_ * half_);
                    const Vec square = S::fma(a, a, S::fma(b, b, S::set(1e-30f)));
                    const Vec inverse = S::reciprocal_root(square);
                    sum = S::fma(square, inverse, sum);
                    real[i] = S::mul(a, inverse);
                    imaginary[i] = S::mul(b, inverse);
                }
                m.right.put(f, j, real[0], real[1]);
                m.right.put(rows_ + f, j, imaginary[0], imaginary[1]);
            }
            all += S::sum(sum);
        }
        return all;
    }

    int height_, width_, rows_, columns_, half_;
    Buffer panels_;
    Right<S> across_, back_;  // (W, 2 half), (2 half, W)
    Buffer squares_;          // (2H, 2H) twice
};

}  // namespace imagen_fast::cpu
