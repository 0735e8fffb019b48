// Discrete Fourier transforms along one axis, by Stockham's algorithm: passes that each take a factor
// out of the length, from one memory into another, after which all is in order (Cochran et al. 1967,
// "What is the fast Fourier transform?", has it).
#pragma once

#include <cmath>
#include <cstddef>

#include "../cpu/buffer.h"
#include "../cpu/force_inline.h"

namespace imagen_fast::cpu {

// S::lanes complex numbers; in memory the real parts, and then the imaginary ones.
template <class S>
struct Complex {
    using Vec = typename S::Vec;
    static constexpr int size = 2 * S::lanes;  // floats
    Vec real, imaginary;

    static IMAGEN_INLINE Complex load(const float* p) { return {S::load(p), S::load(p + S::lanes)}; }
    IMAGEN_INLINE void store(float* p) const {
        S::store(p, real);
        S::store(p + S::lanes, imaginary);
    }
    IMAGEN_INLINE Complex operator+(Complex b) const {
        return {S::add(real, b.real), S::add(imaginary, b.imaginary)};
    }
    IMAGEN_INLINE Complex operator-(Complex b) const {
        return {S::sub(real, b.real), S::sub(imaginary, b.imaginary)};
    }
    // All by the number at p.
    IMAGEN_INLINE Complex operator*(const float* p) const {
        const Vec c = S::set(p[0]), s = S::set(p[1]);
        return {S::sub(S::mul(real, c), S::mul(imaginary, s)),
                S::fma(real, s, S::mul(imaginary, c))};
    }
    IMAGEN_INLINE Complex by_minus_i() const { return {imaginary, S::sub(S::zero(), real)}; }
    IMAGEN_INLINE Complex conjugate() const { return {real, S::sub(S::zero(), imaginary)}; }
    IMAGEN_INLINE Complex swapped() const { return {imaginary, real}; }
};

// X(f) = Σ x(k) e^(-2πi f k / n). The way back is the same with real and imaginary parts swapped,
// before and after.
template <class S>
class Fourier {
    using Number = Complex<S>;
    static constexpr int kMostFactors = 32;

public:
    explicit Fourier(int n) : n_(n), turns_(4 * n * sizeof(float)) {
        float* to = static_cast<float*>(turns_.data());
        for (int length = n; length > 1;) {
            const int r = factor(length), rest = length / r;
            factors_[passes_++] = r;
            if (r != 4) {
                for (int k = 0; k < r; ++k, to += 2) {
                    turn(k, r, to);
                }
            }
            for (int p = 0; p < rest; ++p) {
                for (int j = 1; j < r; ++j, to += 2) {
                    turn(p * j, length, to);
                }
            }
            length = rest;
        }
    }

    // x (n, apart) → its transform along the first axis, in x after an even number of passes and
    // else in other, which is as large: returns where. After two transforms it is in x again.
    float* run(float* x, float* other, int apart) const {
        const float* turns = static_cast<const float*>(turns_.data());
        int length = n_;
        for (int i = 0; i < passes_; ++i) {
            const int r = factors_[i], rest = length / r;
            turns = r == 4 ? four(x, rest, apart, turns, other)
                           : any(r, x, rest, apart, turns, other);
            float* const result = other;
            other = x;
            x = result;
            length = rest;
            apart *= r;
        }
        return x;
    }

private:
    static int factor(int n) {
        if (n % 4 == 0) {
            return 4;
        }
        int r = 2;
        while (n % r) {
            ++r;
        }
        return r;
    }
    // e^(-2πi k / n)
    static void turn(int k, int n, float* to) {
        const double angle = -6.283185307179586 * (k % n) / n;
        to[0] = static_cast<float>(std::cos(angle));
        to[1] = static_cast<float>(std::sin(angle));
    }

    // (r, rest, apart) → (rest, r, apart): for each of the rest a transform of r numbers, and each of
    // its results turned. Returns the next pass' turns.
    static const float* four(const float* x, int rest, int apart, const float* turns, float* out) {
        const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(apart) * Number::size;
        for (int p = 0; p < rest; ++p, turns += 6, out += 3 * step) {
            for (int q = 0; q < apart; ++q, x += Number::size, out += Number::size) {
                const Number x0 = Number::load(x), x1 = Number::load(x + rest * step),
                             x2 = Number::load(x + 2 * rest * step),
                             x3 = Number::load(x + 3 * rest * step);
                const Number even = x0 + x2, odd = x1 + x3, a = x0 - x2, b = (x1 - x3).by_minus_i();
                (even + odd).store(out);
                ((a + b) * turns).store(out + step);
                ((even - odd) * (turns + 2)).store(out + 2 * step);
                ((a - b) * (turns + 4)).store(out + 3 * step);
            }
        }
        return turns;
    }
    static const float* any(int r, const float* x, int rest, int apart, const float* turns,
                            float* out) {
        const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(apart) * Number::size;
        const float* const roots = turns;
        turns += 2 * r;
        for (int p = 0; p < rest; ++p, turns += 2 * (r - 1), out += (r - 1) * step) {
            for (int q = 0; q < apart; ++q, x += Number::size, out += Number::size) {
                for (int j = 0; j < r; ++j) {
                    Number sum = Number::load(x);
                    for (int k = 1, power = j; k < r; ++k, power = (power + j) % r) {
                        sum = sum + Number::load(x + k * rest * step) * (roots + 2 * power);
                    }
                    (j ? sum * (turns + 2 * (j - 1)) : sum).store(out + j * step);
                }
            }
        }
        return turns;
    }

    int n_, passes_ = 0, factors_[kMostFactors];
    Buffer turns_;  // of each pass: the roots of 1, where it needs them, and what results turn by
};

}  // namespace imagen_fast::cpu
