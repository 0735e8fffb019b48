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

    // (6, 6), in place
    void round(double* g) const {
        double errors[a][a] = {};
        for (int i = a - 1; i >= 0; --i) {
            for (int j = a - 1; j >= 0; --j) {
                double sum = 0;
                for (int k = i; k < a; ++k) {
                    sum += counts_[i][k] * product(counts_[j] + j, errors[k] + j, a - j);
                }
                const double rounded = stored(g[a * i + j] - sum);
                errors[i][j] = rounded - g[a * i + j];
                g[a * i + j] = rounded;
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
    static double stored(double value) {
        Scalar all[S::lanes];
        for (Scalar& x : all) {
            x = S::scalar(static_cast<float>(value));
        }
        return first(S::load(all));
    }

    double counts_[a][a];  // how much an error in component j shifts what component i had best be
};

}  // namespace imagen_fast::cpu
