// What is not a product in the gradients of one head of attention: see window_attention.h for the
// formulas. Queries are rows (T, d), keys columns (d, T), d being padded; T is a multiple of the lanes.
#pragma once

#include <cmath>

#include "../cpu/attention.h"

namespace imagen_fast::cpu {

template <class S>
class AttentionHead {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    static constexpr float kNever = -1e30f;  // a logit whose exponential is 0

    AttentionHead(int d, int padded_d) : d_(d), padded_d_(padded_d) {}

    // q → q̂ = q / rms(q), and 1 / rms(q) → factors (T).
    void normalise_queries(const float* q, int tokens, Scalar* normalised, float* factors) const {
        for (int t = 0; t < tokens; t += S::lanes, q += S::lanes * padded_d_) {
            Vec squares[S::lanes];
            for (int i = 0; i < S::lanes; ++i) {
                squares[i] = S::zero();
                for (int j = i * padded_d_; j < (i + 1) * padded_d_; j += S::lanes) {
                    const Vec a = S::load(q + j);
                    squares[i] = S::fma(a, a, squares[i]);
                }
            }
            S::store(factors + t, inverse_rms(S::sums(squares)));
            for (int i = 0; i < S::lanes; ++i) {
                const Vec f = S::set(factors[t + i]);
                for (int j = i * padded_d_; j < (i + 1) * padded_d_; j += 2 * S::lanes) {
                    S::store(normalised + t * padded_d_ + j, S::mul(S::load(q + j), f),
                             S::mul(S::load(q + j + S::lanes), f));
                }
            }
        }
    }
    // The same for keys.
    void normalise_keys(const float* k, int tokens, Scalar* normalised, float* factors) const {
        for (int t = 0; t < tokens; t += S::lanes) {
            Vec squares = S::zero();
            for (int j = t; j < t + d_ * tokens; j += tokens) {
                const Vec a = S::load(k + j);
                squares = S::fma(a, a, squares);
            }
            const Vec f = inverse_rms(squares);
            S::store(factors + t, f);
            for (int j = t; j < t + padded_d_ * tokens; j += tokens) {
                S::store(normalised + j, S::mul(S::load(k + j), f));
            }
        }
    }

    // Of some queries: logits and P' (queries, T) → P and L'. bias (T): 0, or kNever for what is no key.
    // The logits' memory is written as well.
    void softmax(float scale, float* logits, const float* p_gradient, const float* bias,
                 int queries, int tokens, Scalar* p, Scalar* l) const {
        const Vec f = S::set(scale * kLog2e);
        // |q̂ k̂ᵀ| ≤ d. Logits that stay within ±60 need no maximum.
        const bool bounded = std::fabs(scale) * kLog2e * d_ < AttentionCore<S>::kBound;
        for (int i = 0; i < queries * tokens; i += S::lanes * tokens) {
            Vec sums[S::lanes], products[S::lanes];
            for (int r = 0; r < S::lanes; ++r) {
                float* const row = logits + i + r * tokens;
                const float* const gradient = p_gradient + i + r * tokens;
                const Vec most = bounded ? S::zero() : S::set(largest(row, tokens, f, bias));
                sums[r] = products[r] = S::zero();
                for (int j = 0; j < tokens; j += S::lanes) {
                    const Vec x = S::fma(S::load(row + j), f, S::load(bias + j));
                    const Vec e = exp2_within<S>(S::max(S::set(-126.0f), S::sub(x, most)));
                    S::store(row + j, e);
                    sums[r] = S::add(sums[r], e);
                    products[r] = S::fma(e, S::load(gradient + j), products[r]);
                }
            }
            alignas(64) float inverses[S::lanes], means[S::lanes];
            const Vec inverse = S::reciprocal(S::sums(sums));
            S::store(inverses, inverse);
            S::store(means, S::mul(S::sums(products), inverse));
            for (int r = 0; r < S::lanes; ++r) {
                const int at = i + r * tokens;
                differentiate(logits + at, p_gradient + at, tokens, S::set(inverses[r]),
                              S::set(means[r]), p + at, l + at);
            }
        }
    }

    // q̂' → q' = s (q̂' - q̂ mean(q̂ q̂')) / rms(q), in place. Returns what the loss changes by with τ.
    float query_gradients(const Scalar* q, const float* factors, float scale, int tokens,
                          float* gradient) const {
        alignas(64) float means[S::lanes];
        Vec all = S::zero();
        for (int t = 0; t < tokens; t += S::lanes) {
            Vec products[S::lanes];
            for (int i = 0; i < S::lanes; ++i) {
                products[i] = S::zero();
                for (int j = i * padded_d_; j < (i + 1) * padded_d_; j += S::lanes) {
                    products[i] = S::fma(S::load(q + j), S::load(gradient + j), products[i]);
                }
            }
            const Vec sum = S::sums(products);
            all = S::add(all, sum);
            S::store(means, S::mul(sum, S::set(-1.0f / d_)));
            for (int i = 0; i < S::lanes; ++i) {
                const Vec f = S::set(scale * factors[t + i]), mean = S::set(means[i]);
                for (int j = i * padded_d_; j < (i + 1) * padded_d_; j += S::lanes) {
                    float* const g = gradient + j;
                    S::store(g, S::mul(f, S::fma(S::load(q + j), mean, S::load(g))));
                }
            }
            q += S::lanes * padded_d_;
            gradient += S::lanes * padded_d_;
        }
        return S::sum(all) / std::sqrt(static_cast<float>(d_));
    }
    // The same for keys.
    void key_gradients(const Scalar* k, const float* factors, float scale, int tokens,
                       float* gradient) const {
        for (int t = 0; t < tokens; t += S::lanes) {
            Vec mean = S::zero();
            for (int j = t; j < t + d_ * tokens; j += tokens) {
                mean = S::fma(S::load(k + j), S::load(gradient + j), mean);
            }
            mean = S::mul(mean, S::set(-1.0f / d_));
            const Vec f = S::mul(S::load(factors + t), S::set(scale));
            for (int j = t; j < t + d_ * tokens; j += tokens) {
                float* const g = gradient + j;
                S::store(g, S::mul(f, S::fma(S::load(k + j), mean, S::load(g))));
            }
        }
    }

private:
    IMAGEN_INLINE Vec inverse_rms(Vec squares) const {
        return S::reciprocal_root(S::fma(squares, S::set(1.0f / d_), S::set(1e-6f)));
    }
    static float largest(const float* logits, int count, Vec factor, const float* bias) {
        Vec most = S::set(kNever);
        for (int j = 0; j < count; j += S::lanes) {
            most = S::max(most, S::fma(S::load(logits + j), factor, S::load(bias + j)));
        }
        return S::maximum(most);
    }
    // One row: exponentials and P' → P and L'.
    static IMAGEN_INLINE void differentiate(const float* exponentials, const float* p_gradient,
                                            int count, Vec inverse, Vec mean, Scalar* p,
                                            Scalar* l) {
        for (int j = 0; j < count; j += 2 * S::lanes) {
            Vec a[2], b[2];
            for (int i = 0; i < 2; ++i) {
                const int k = j + i * S::lanes;
                a[i] = S::mul(S::load(exponentials + k), inverse);
                b[i] = S::mul(a[i], S::sub(S::load(p_gradient + k), mean));
            }
            S::store(p + j, a[0], a[1]);
            S::store(l + j, b[0], b[1]);
        }
    }

    int d_, padded_d_;
};

}  // namespace imagen_fast::cpu
