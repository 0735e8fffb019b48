// What spectrum.h computes, by fast transforms: for float, at a tenth of the operations of products.
//
// Two real columns are the real and the imaginary part of one transform, S::lanes of these side by
// side; columns of all channels are alike. Then rows of frequencies, the lanes being as many of them,
// with the channels interleaved as they are.
#pragma once

#include <cmath>

#include "../cpu/pieces.h"
#include "../cpu/plane.h"
#include "fourier.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class FourierDistance final : public SpectrumOp {
    using Vec = typename S::Vec;
    using Number = Complex<S>;
    static constexpr int kStrip = 2 * S::lanes;  // columns

public:
    FourierDistance(int height, int width)
        : height_(height),
          width_(width),
          half_(height / 2 + 1),
          down_(height),
          across_(width),
          weights_(round_up(half_, S::lanes) * sizeof(float)),
          root_(1 / std::sqrt(static_cast<float>(height) * static_cast<float>(width))) {
        for (int f = 0; f < half_; ++f) {
            static_cast<float*>(weights_.data())[f] = own(f, height) ? 1.0f : 2.0f;
        }
    }

    int blocks(const SpectrumArgs& args) const override { return args.images; }
    std::size_t scratch(const SpectrumArgs& args) const override {
        Pieces pieces(nullptr);
        (void)Memory(*this, args, pieces);
        return pieces.used();
    }

    // Block: one picture.
    double run(int block, const SpectrumArgs& args, std::byte* scratch) const override {
        Pieces pieces(scratch);
        const Memory m(*this, args, pieces);
        const int row = width_ * args.channels;
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(block) * height_ * row;
        for (int j = 0; j < row; j += kStrip) {
            columns(args.a + start + j, args.b + start + j, row, row - j, m, j);
        }
        double sum = 0;
        for (int f = 0; f < half_; f += S::lanes) {
            float* const x = m.at(f, 0);
            float* const z = across_.run(x, m.other, args.channels);
            sum += directions(z, args.channels, f);
            across_.run(z, z == x ? m.other : x, args.channels);
        }
        for (int j = 0; j < row; j += kStrip) {
            back(m, j, args.scale * root_, args.gradient + start + j, row, row - j);
        }
        return sum * args.scale;
    }

private:
    struct Memory {
        int row;         // columns of whole strips
        float* spectra;  // (half / lanes, columns, 2, lanes of frequencies)
        float *x, *other;  // a strip's (H, 2, lanes of columns), and other as large as a row as well

        IMAGEN_INLINE Memory(const FourierDistance& d, const SpectrumArgs& args, Pieces& pieces)
            : row(round_up(d.width_ * args.channels, kStrip)),
              spectra(pieces.take<float>(static_cast<std::ptrdiff_t>(Number::size) * row *
                                         ((d.half_ + S::lanes - 1) / S::lanes))),
              x(pieces.take<float>(Number::size * d.height_)),
              other(pieces.take<float>(Number::size * (d.height_ > row ? d.height_ : row))) {}

        // From frequency f, the first of its lanes, and a column on.
        IMAGEN_INLINE float* at(int f, int column) const {
            return spectra + (static_cast<std::ptrdiff_t>(f / S::lanes) * row + column) * Number::size;
        }
    };

    // Whether a frequency is its own negative.
    static IMAGEN_INLINE bool own(int f, int n) { return f == 0 || 2 * f == n; }
    // The samples of a strip that are in one of its vectors: of `left` the first or the next.
    static IMAGEN_INLINE int samples(int left, int vector) {
        const int some = left - vector * S::lanes;
        return some < 0 ? 0 : some < S::lanes ? some : S::lanes;
    }

    // A strip of a - b, whose rows have `left` samples from its first column on → its spectra.
    void columns(const float* a, const float* b, std::ptrdiff_t row, int left, const Memory& m,
                 int column) const {
        const Vec half = S::set(0.5f * root_);
        float* x = m.x;
        for (int y = 0; y < height_; ++y, a += row, b += row) {
            for (int i = 0; i < 2; ++i, x += S::lanes) {
                const int some = samples(left, i), at = i * S::lanes;
                S::store(x, S::mul(S::sub(S::load_some(a + at, some), S::load_some(b + at, some)),
                                   half));
            }
        }
        const float* const z = down_.run(m.x, m.other, 1);
        alignas(64) float parts[2][S::lanes][Number::size];
        for (int f = 0; f < half_; f += S::lanes) {
            for (int i = 0; i < S::lanes; ++i) {
                Number p{S::zero(), S::zero()}, n = p;
                if (f + i < half_) {
                    p = Number::load(z + (f + i) * Number::size);
                    n = Number::load(z + (height_ - f - i) % height_ * Number::size);
                }
                // Of x + iy ↔ Z: 2 X(f) = Z(f) + Z*(-f), 2 Y(f) = -i (Z(f) - Z*(-f)).
                (p + n.conjugate()).store(parts[0][i]);
                (p - n.conjugate()).by_minus_i().store(parts[1][i]);
            }
            for (int k = 0; k < 4; ++k) {
                S::transpose(parts[k / 2][0] + k % 2 * S::lanes, Number::size,
                             m.at(f, column + k / 2 * S::lanes) + k % 2 * S::lanes, Number::size);
            }
        }
    }

    // Z (W, C) → Z / |Z| with its parts swapped, halved where the same is at -f as well, for those
    // from frequency f of the height on. Returns the sum of |Z|, each frequency of a pair once.
    double directions(float* z, int channels, int f) const {
        Vec sum = S::zero();
        for (int i = 0; i < width_; ++i) {
            const Vec share = S::set(own(i, width_) ? 1.0f : 0.5f);
            for (int c = 0; c < channels; ++c, z += Number::size) {
                const Number v = Number::load(z);
                const Vec square = S::fma(v.real, v.real,
                                          S::fma(v.imaginary, v.imaginary, S::set(1e-30f)));
                const Vec factor = S::mul(S::reciprocal_root(square), share);
                sum = S::fma(square, factor, sum);
                Number{S::mul(v.imaginary, factor), S::mul(v.real, factor)}.store(z);
            }
        }
        return S::sum(S::mul(sum, S::load(static_cast<const float*>(weights_.data()) + f)));
    }

    // What `columns` does, back, of spectra with their parts swapped.
    void back(const Memory& m, int column, float scale, float* out, std::ptrdiff_t row,
              int left) const {
        alignas(64) float parts[2][S::lanes][Number::size];
        for (int f = 0; f < half_; f += S::lanes) {
            for (int k = 0; k < 4; ++k) {
                S::transpose(m.at(f, column + k / 2 * S::lanes) + k % 2 * S::lanes, Number::size,
                             parts[k / 2][0] + k % 2 * S::lanes, Number::size);
            }
            for (int i = 0; i < S::lanes && f + i < half_; ++i) {
                // Z(f) = X(f) + i Y(f), Z(-f) = X*(f) + i Y*(f)
                const Number x = Number::load(parts[0][i]).swapped(),
                             y = Number::load(parts[1][i]).swapped().by_minus_i();
                (x.conjugate() + y.conjugate()).swapped().store(
                    m.x + (height_ - f - i) % height_ * Number::size);
                (x - y).swapped().store(m.x + (f + i) * Number::size);
            }
        }
        const float* z = down_.run(m.x, m.other, 1);
        const Vec factor = S::set(scale);
        for (int y = 0; y < height_; ++y, z += Number::size, out += row) {
            const Number v = Number::load(z).swapped();
            S::store_some(out, S::mul(v.real, factor), samples(left, 0));
            S::store_some(out + S::lanes, S::mul(v.imaginary, factor), samples(left, 1));
        }
    }

    int height_, width_, half_;
    Fourier<S> down_, across_;
    Buffer weights_;  // of frequencies of the height: how many of a pair are seen here as one
    float root_;      // 1 / √(H W)
};

}  // namespace imagen_fast::cpu
