// How the 36 numbers of a transformed filter are rounded: one after the other, each making up for what
// the rounding of those before it does to the convolution.
//
// With errors E of the numbers, a tile's outputs err by Aᵀ (E ⊙ Bᵀ d B) A. If R says how alike inputs d
// are along a line, the mean square is vec(E)ᵀ (H ⊗ H) vec(E) with H = A Aᵀ ⊙ Bᵀ R B, so this is a
// search for the closest point of a lattice (Babai 1986, the nearest plane). R is 1 + 2^-distance:
// features resemble their neighbours, and their mean is not 0. Costs nothing when a picture is
// computed.
#pragma once


#include "winograd_transform.h"

namespace imagen_fast::cpu {

template <class S>
class WinogradRounding {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int m = 4, a = m + 2;

public:
    WinogradRounding() {
        double inputs[a][a], outputs[a][m];  // Bᵀ and A, row by row
        for (int j = 0; j < a; ++j) {
            Vec one[a], r[a];
            unit(j, one);
            WinogradTransform<S>::input(one, r);
            for (int i = 0; i < a; ++i) {
                inputs[i][j] = first(r[i]);
            }
            WinogradTransform<S>::output(one, r);
            for (int i = 0; i < m; ++i) {
                outputs[j][i] = first(r[i]);
            }
        }
        double alike[a][a];  // R Bᵀ, row by row
        for (int i = 0; i < a; ++i) {
            for (int j = 0; j < a; ++j) {
                alike[i][j] = 0;
                for (int k = 0; k < a; ++k) {
                    alike[i][j] += inputs[i][k] * (1 + 1.0 / (1 << (j < k ? k - j : j - k)));
                }
            }
        }
        // H = Uᵀ D U with ones on the diagonal of the upper triangle U.
        double h[a][a];
        for (int i = 0; i < a; ++i) {
            for (int j = 0; j < a; ++j) {
                h[i][j] = product(alike[i], inputs[j], a) * product(outputs[i], outputs[j], m);
            }
        }
        for (int i = 0; i < a; ++i) {
            for (int j = i; j < a; ++j) {
                counts_[i][j] = h[i][j] / h[i][i];
            }
            for (int j = i + 1; j < a; ++j) {
                for (int k = i + 1; k < a; ++k) {
                    h[j][k] -= counts_[i][j] * h[i][k];
                }
            }
        }
    }

    // (6, 6) of as many filters as there are lanes, in place
    void round(float (*g)[S::lanes]) const {
        Vec errors[a][a];
        for (int i = a - 1; i >= 0; --i) {
            for (int j = a - 1; j >= 0; --j) {
                errors[i][j] = S::zero();
                Vec wanted = S::load(g[a * i + j]);
                const Vec exact = wanted;
                for (int k = i; k < a; ++k) {
                    Vec sum = S::zero();
                    for (int l = j; l < a; ++l) {
                        sum = S::fma(errors[k][l], S::set(static_cast<float>(counts_[j][l])), sum);
                    }
                    wanted = S::fma(sum, S::set(static_cast<float>(-counts_[i][k])), wanted);
                }
                Scalar stored[S::lanes];
                S::store(stored, wanted);
                const Vec rounded = S::load(stored);
                errors[i][j] = S::sub(rounded, exact);
                S::store(g[a * i + j], rounded);
            }
        }
    }

private:
    static void unit(int j, Vec* r) {
        for (int i = 0; i < a; ++i) {
            r[i] = S::set(i == j ? 1.0f : 0.0f);
        }
    }
    static float first(Vec v) {
        float all[S::lanes];
        S::store(all, v);
        return all[0];
    }
    static double product(const double* x, const double* y, int count) {
        double sum = 0;
        for (int i = 0; i < count; ++i) {
            sum += x[i] * y[i];
        }
        return sum;
    }

    double counts_[a][a];  // how much an error in component j shifts what component i had best be
};

}  // namespace imagen_fast::cpu
