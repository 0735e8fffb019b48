// The gradients of x + attention(x, other) within windows, one window at a time.
//
// Nothing is kept from the forward pass but its inputs: a window's queries, keys, values and
// probabilities are computed again, and all of them stay in the first caches. With P the
// probabilities, y = proj · o, o = P v, and a dash for what the loss changes by:
//
//     o' = y' proj,  v' = Pᵀ o',  P' = o' vᵀ,  L' = P ∘ (P' - rowsum(P ∘ P')),
//     q̂' = s L' k̂,  k̂' = s L'ᵀ q̂,  L = s q̂ k̂ᵀ,  s = τ / √d
//
// Keys and values are computed transposed, with tokens in the lanes of a vector: their operands
// then come without transposing the probabilities, and norms of keys without sums across a vector.
//
// As in ../cpu/window_attention.h only pixels inside the picture become tokens. Up to a multiple of
// 32 they are completed by zeros, which no query sees.
#pragma once

#include "../cpu/window_attention.h"
#include "op.h"
#include "operands.h"

namespace imagen_fast::cpu {

template <class S>
class WindowAttentionGradient final : public GradientOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int kStep = 2 * S::lanes;  // of tokens and channels

public:
    explicit WindowAttentionGradient(const Attention& a)
        : windows_{a.window, a.shift},
          channels_(a.channels),
          d_(a.head_dim),
          padded_d_(round_up(a.head_dim, kStep)),
          heads_(a.channels / a.head_dim),
          width_(heads_ * padded_d_),
          cells_(a.window * a.window),
          most_(round_up(cells_, kStep)),
          q_(Right<S>(nullptr, channels_, width_)),
          proj_(Right<S>(nullptr, channels_, width_)),
          back_(Right<S>(nullptr, 3 * width_, channels_)),
          kv_(2 * width_ * channels_ * sizeof(Scalar)),
          position_(cells_ * channels_ * sizeof(float)),
          scale_(heads_ * sizeof(float)) {
        for (int j = 0; j < width_; ++j) {
            const int r = row(j);
            for (int i = 0; r >= 0 && i < channels_; ++i) {
                const float q = a.q[r * channels_ + i], k = a.kv[r * channels_ + i],
                            v = a.kv[(channels_ + r) * channels_ + i];
                q_.set(i, j, q);
                proj_.set(i, j, a.proj[i * channels_ + r]);
                back_.set(j, i, q);
                back_.set(width_ + j, i, k);
                back_.set(2 * width_ + j, i, v);
                static_cast<Scalar*>(kv_.data())[j * channels_ + i] = S::scalar(k);
                static_cast<Scalar*>(kv_.data())[(width_ + j) * channels_ + i] = S::scalar(v);
            }
        }
        for (int i = 0; i < cells_ * channels_; ++i) {
            static_cast<float*>(position_.data())[i] = a.position[i];
        }
        for (int h = 0; h < heads_; ++h) {
            static_cast<float*>(scale_.data())[h] =
                a.temperature[h] / std::sqrt(static_cast<float>(d_));
        }
    }

    int blocks(const GradientArgs& args) const override { return windows_.count(args.x); }
    std::size_t scratch(const GradientArgs&) const override {
        Pieces pieces(nullptr);
        (void)Memory(*this, most_, pieces);
        return pieces.used();
    }
    std::ptrdiff_t sums() const override { return Sums(*this, nullptr).end - Sums(*this, nullptr).q; }

    // Block: one window.
    void run(int block, const GradientArgs& args, std::byte* scratch, float* sums) const override {
        const Window window = windows_.at(block, args.x);
        const int tokens = window.tokens(), padded = round_up(tokens, kStep);
        Pieces pieces(scratch);
        const Memory m(*this, padded, pieces);
        const Sums s(*this, sums);
        const bool crossed = args.other.data != args.x.data;
        gather(args.x, window, true, m.x, padded);
        gather(args.gradient, window, false, m.y, padded);
        m.x_right.fill_rows(m.x, channels_);
        if (crossed) {
            gather(args.other, window, true, m.other, padded);
            m.other_right.fill_rows(m.other, channels_);
        }
        project(crossed ? m.other : m.x, m, padded);
        for (int h = 0; h < heads_; ++h) {
            attend(h, tokens, padded, m, s);
        }
        weights(crossed, padded, m, s);
        inputs(args, window, crossed, padded, m, s);
    }

    // q, kv, proj, temperature, position
    void collect(const float* sums, float* const* gradients) const override {
        const Sums s(*this, const_cast<float*>(sums));
        for (int j = 0; j < width_; ++j) {
            const int r = row(j);
            for (int i = 0; r >= 0 && i < channels_; ++i) {
                gradients[0][r * channels_ + i] += s.q[j * channels_ + i];
                gradients[1][r * channels_ + i] += s.kv[j * channels_ + i];
                gradients[1][(channels_ + r) * channels_ + i] += s.kv[(width_ + j) * channels_ + i];
                gradients[2][i * channels_ + r] += s.proj[i * width_ + j];
            }
        }
        for (int h = 0; h < heads_; ++h) {
            gradients[3][h] += s.temperature[h];
        }
        for (int i = 0; i < cells_ * channels_; ++i) {
            gradients[4][i] += s.position[i];
        }
    }

private:
    // A packed weight.
    struct Weight {
        Buffer buffer;
        Right<S> right;

        explicit Weight(const Right<S>& shape)
            : buffer(shape.elements() * sizeof(Scalar)),
              right(static_cast<Scalar*>(buffer.data()), shape.k, shape.n) {}
        void set(int i, int j, float value) { right.set(i, j, value); }
    };

    // Of one window: T tokens, C channels, W = heads · padded head_dim.
    struct Memory {
        Scalar *x, *other, *y;               // (T, C): pixels + position, and the gradient
        Right<S> x_right, other_right;       // (T, C)
        Right<S> other_transposed;           // (C, T)
        Scalar* y_transposed;                // (C, T)
        float *q, *kv, *o_gradient;          // (T, W), (2W, T), (T, W)
        Scalar *q_rows, *o_rows;             // (T, W): normalised queries; o'
        Scalar* q_transposed;                // (d, T)
        Scalar* o_transposed;                // (d, T)
        Scalar* k_rows;                      // (d, T): normalised keys, transposed, and values
        Right<S> k_right, k_transposed;      // (T, d), (d, T)
        Right<S> v_right, v_transposed;      // (T, d), (d, T)
        Scalar* panels;                      // (T, C) or (T, W): what is to be transposed
        float *logits, *p_gradient;          // (T, T)
        Scalar *p, *l_gradient;              // (T, T)
        Right<S> p_right, l_right;           // (T, T)
        float *o, *products;                 // (T, W), and room for (T, C), (d, T) or (3W, C)
        Scalar* gradients;                   // (3W, T): q', k', v', transposed
        Scalar* rows;                        // (T, 3W): the same
        float* factors;                      // (T)
        float* bias;                         // (T): 0, and what takes a key away

        IMAGEN_INLINE Memory(const WindowAttentionGradient& a, int t, Pieces& pieces)
            : x(pieces.take<Scalar>(t * a.channels_)),
              other(pieces.take<Scalar>(t * a.channels_)),
              y(pieces.take<Scalar>(t * a.channels_)),
              x_right(right(pieces, t, a.channels_)),
              other_right(right(pieces, t, a.channels_)),
              other_transposed(right(pieces, a.channels_, t)),
              y_transposed(pieces.take<Scalar>(t * a.channels_)),
              q(pieces.take<float>(t * a.width_)),
              kv(pieces.take<float>(2 * t * a.width_)),
              o_gradient(pieces.take<float>(t * a.width_)),
              q_rows(pieces.take<Scalar>(t * a.width_)),
              o_rows(pieces.take<Scalar>(t * a.width_)),
              q_transposed(pieces.take<Scalar>(t * a.padded_d_)),
              o_transposed(pieces.take<Scalar>(t * a.padded_d_)),
              k_rows(pieces.take<Scalar>(t * a.padded_d_)),
              k_right(right(pieces, t, a.padded_d_)),
              k_transposed(right(pieces, a.padded_d_, t)),
              v_right(right(pieces, t, a.padded_d_)),
              v_transposed(right(pieces, a.padded_d_, t)),
              panels(pieces.take<Scalar>(t * largest(a.channels_, a.width_))),
              logits(pieces.take<float>(t * t)),
              p_gradient(pieces.take<float>(t * t)),
              p(pieces.take<Scalar>(t * t)),
              l_gradient(pieces.take<Scalar>(t * t)),
              p_right(right(pieces, t, t)),
              l_right(right(pieces, t, t)),
              o(pieces.take<float>(t * a.width_)),
              products(pieces.take<float>(
                  largest(t * a.width_, largest(t, 3 * a.width_) * a.channels_))),
              gradients(pieces.take<Scalar>(3 * t * a.width_)),
              rows(pieces.take<Scalar>(3 * t * a.width_)),
              factors(pieces.take<float>(t)),
              bias(pieces.take<float>(t)) {}

    private:
        static IMAGEN_INLINE Right<S> right(Pieces& pieces, int k, int n) {
            return Right<S>(pieces.take<Scalar>(static_cast<std::ptrdiff_t>(k) * n), k, n);
        }
        static IMAGEN_INLINE int largest(int a, int b) { return a > b ? a : b; }
    };

    // Of the weights' gradients.
    struct Sums {
        float *q, *kv, *proj, *temperature, *position, *end;

        IMAGEN_INLINE Sums(const WindowAttentionGradient& a, float* memory)
            : q(memory),
              kv(q + a.width_ * a.channels_),
              proj(kv + 2 * a.width_ * a.channels_),
              temperature(proj + a.width_ * a.channels_),
              position(temperature + round_up(a.heads_, 16)),
              end(position + a.cells_ * a.channels_) {}
    };

    // The row of q, k or v in column j; -1 in the padding.
    int row(int j) const {
        return j % padded_d_ < d_ ? j / padded_d_ * d_ + j % padded_d_ : -1;
    }

    static IMAGEN_INLINE void multiply(const Scalar* a, std::ptrdiff_t stride, int count,
                                       const Right<S>& b, float* c, std::ptrdiff_t c_row) {
        gemm(Rows<S>{{a}, 1, b.k, stride, count}, b.panels, nullptr, c, c_row);
    }

    // Pixels, plus position if asked for → (padded, C), zeros behind the last token.
    void gather(const Plane& plane, const Window& window, bool positioned, Scalar* out,
                int padded) const {
        const float* position = static_cast<const float*>(position_.data());
        for (int y = window.y.begin; y < window.y.end; ++y) {
            const Scalar* in = plane.at<Scalar>(window.n, y, window.x.begin);
            const float* add = position + window.cell(y, window.x.begin) * channels_;
            const int row = (window.x.end - window.x.begin) * channels_;
            for (int i = 0; i < row; i += kStep) {
                Vec a = S::load(in + i), b = S::load(in + i + S::lanes);
                if (positioned) {
                    a = S::add(a, S::load(add + i));
                    b = S::add(b, S::load(add + i + S::lanes));
                }
                S::store(out + i, a, b);
            }
            out += row;
        }
        for (int i = window.tokens() * channels_; i < padded * channels_; i += kStep, out += kStep) {
            S::store(out, S::zero(), S::zero());
        }
    }

    // Queries (T, W), keys and values (2W, T), o' (T, W), y'ᵀ (C, T).
    void project(const Scalar* other, const Memory& m, int padded) const {
        multiply(m.x, channels_, padded, q_.right, m.q, width_);
        m.other_transposed.fill_transposed(other, channels_);
        multiply(static_cast<const Scalar*>(kv_.data()), channels_, 2 * width_,
                 m.other_transposed, m.kv, padded);
        multiply(m.y, channels_, padded, proj_.right, m.o_gradient, width_);
        round_rows<S>(m.o_gradient, width_, padded, width_, m.o_rows, width_);
        const Right<S> y(m.panels, padded, channels_);
        y.fill_rows(m.y, channels_);
        y.transpose(m.y_transposed, padded);
    }

    // Head h: what the loss changes by with its queries, keys and values, and with τ.
    void attend(int h, int tokens, int padded, const Memory& m, const Sums& s) const {
        const int at = h * padded_d_;
        float *q = m.q + at, *k = m.kv + at * padded, *v = m.kv + (width_ + at) * padded;
        const float scale = static_cast<const float*>(scale_.data())[h];

        normalise_queries(q, padded, m.factors);
        round_rows<S>(q, width_, padded, padded_d_, m.q_rows + at, width_);
        const Right<S> columns(m.panels, padded, padded_d_);
        columns.fill(q, width_);
        columns.transpose(m.q_transposed, padded);
        Vec inverse[kMostVectors];
        normalise_keys(k, padded, inverse);
        m.k_transposed.fill(k, padded);
        round_rows<S>(k, padded, padded_d_, padded, m.k_rows, padded);
        m.k_right.fill_transposed(m.k_rows, padded);
        m.v_transposed.fill(v, padded);
        round_rows<S>(v, padded, padded_d_, padded, m.k_rows, padded);
        m.v_right.fill_transposed(m.k_rows, padded);
        columns.fill(m.o_gradient + at, width_);
        columns.transpose(m.o_transposed, padded);

        multiply(m.q_rows + at, width_, padded, m.k_transposed, m.logits, padded);
        multiply(m.o_rows + at, width_, padded, m.v_transposed, m.p_gradient, padded);
        softmax(scale, tokens, padded, m);

        multiply(m.p, padded, padded, m.v_right, m.o + at, width_);
        // v'ᵀ = o'ᵀ P
        multiply(m.o_transposed, padded, padded_d_, m.p_right, m.products, padded);
        keep(m.products, padded, 2 * width_ + at, m);
        // k̂'ᵀ = q̂ᵀ L'
        multiply(m.q_transposed, padded, padded_d_, m.l_right, m.products, padded);
        key_gradients(k, scale, padded, inverse, m.products);
        keep(m.products, padded, width_ + at, m);
        // q̂' = L' k̂
        multiply(m.l_gradient, padded, padded, m.k_right, m.products, padded_d_);
        s.temperature[h] += query_gradients(q, scale, padded, m.factors, m.products);
        round_rows<S>(m.products, padded_d_, padded, padded_d_, m.rows + at, 3 * width_);
        columns.fill(m.products, padded_d_);
        columns.transpose(m.gradients + at * padded, padded);
    }

    static constexpr int kMostVectors = 16;  // of tokens

    // q / rms(q), in place, and 1 / rms(q).
    void normalise_queries(float* q, int padded, float* factors) const {
        for (int t = 0; t < padded; t += S::lanes) {
            Vec squares[S::lanes];
            for (int i = 0; i < S::lanes; ++i) {
                squares[i] = row_dot(q + (t + i) * width_, q + (t + i) * width_);
            }
            S::store(factors + t, inverse_rms(S::sums(squares)));
            for (int i = t; i < t + S::lanes; ++i) {
                const Vec f = S::set(factors[i]);
                for (int j = 0; j < padded_d_; j += S::lanes) {
                    S::store(q + i * width_ + j, S::mul(S::load(q + i * width_ + j), f));
                }
            }
        }
    }

    // The same for keys (d, T).
    void normalise_keys(float* k, int padded, Vec* inverse) const {
        for (int t = 0; t < padded; t += S::lanes) {
            Vec squares = S::zero();
            for (int j = 0; j < d_; ++j) {
                const Vec a = S::load(k + j * padded + t);
                squares = S::fma(a, a, squares);
            }
            const Vec f = inverse_rms(squares);
            inverse[t / S::lanes] = f;
            for (int j = 0; j < d_; ++j) {
                S::store(k + j * padded + t, S::mul(S::load(k + j * padded + t), f));
            }
        }
    }

    // k̂' → k' = s (k̂' - k̂ mean(k̂ k̂')) / rms(k), in place; all (d, T).
    void key_gradients(const float* k, float scale, int padded, const Vec* inverse,
                       float* gradient) const {
        for (int t = 0; t < padded; t += S::lanes) {
            Vec mean = S::zero();
            for (int j = 0; j < d_; ++j) {
                mean = S::fma(S::load(k + j * padded + t), S::load(gradient + j * padded + t), mean);
            }
            mean = S::mul(mean, S::set(-1.0f / d_));
            const Vec f = S::mul(inverse[t / S::lanes], S::set(scale));
            for (int j = 0; j < d_; ++j) {
                float* g = gradient + j * padded + t;
                S::store(g, S::mul(f, S::fma(S::load(k + j * padded + t), mean, S::load(g))));
            }
        }
    }

    // The same for queries, all (T, d). Returns what the loss changes by with τ.
    float query_gradients(const float* q, float scale, int padded, const float* factors,
                          float* gradient) const {
        alignas(64) float means[S::lanes];
        Vec all = S::zero();
        for (int t = 0; t < padded; t += S::lanes) {
            Vec products[S::lanes];
            for (int i = 0; i < S::lanes; ++i) {
                products[i] = row_dot(q + (t + i) * width_, gradient + (t + i) * padded_d_);
            }
            const Vec sum = S::sums(products);
            all = S::add(all, sum);
            S::store(means, S::mul(sum, S::set(-1.0f / d_)));
            for (int i = 0; i < S::lanes; ++i) {
                const Vec f = S::set(scale * factors[t + i]), mean = S::set(means[i]);
                for (int j = 0; j < padded_d_; j += S::lanes) {
                    float* g = gradient + (t + i) * padded_d_ + j;
                    S::store(g, S::mul(f, S::fma(S::load(q + (t + i) * width_ + j), mean,
                                                 S::load(g))));
                }
            }
        }
        return S::sum(all) / std::sqrt(static_cast<float>(d_));
    }

    IMAGEN_INLINE Vec row_dot(const float* a, const float* b) const {
        Vec sum = S::mul(S::load(a), S::load(b));
        for (int j = S::lanes; j < padded_d_; j += S::lanes) {
            sum = S::fma(S::load(a + j), S::load(b + j), sum);
        }
        return sum;
    }
    IMAGEN_INLINE Vec inverse_rms(Vec squares) const {
        return S::reciprocal_root(S::fma(squares, S::set(1.0f / d_), S::set(1e-6f)));
    }

    // Probabilities and L', as rows and as panels.
    void softmax(float scale, int tokens, int padded, const Memory& m) const {
        for (int j = 0; j < padded; ++j) {
            m.bias[j] = j < tokens ? 0.0f : -1000.0f;
        }
        // |q̂ k̂ᵀ| ≤ d. Logits that stay within ±60 need no maximum.
        const Vec f = S::set(scale * kLog2e);
        const bool bounded = std::fabs(scale) * kLog2e * d_ < AttentionCore<S>::kBound;
        alignas(64) float inverses[S::lanes], means[S::lanes];
        for (int i = 0; i < padded; i += S::lanes) {
            Vec sums[S::lanes], products[S::lanes];
            for (int r = 0; r < S::lanes; ++r) {
                float* logits = m.logits + (i + r) * padded;
                const float* p_gradient = m.p_gradient + (i + r) * padded;
                Vec most = S::zero();
                if (!bounded) {
                    most = S::set(-1000.0f);
                    for (int j = 0; j < padded; j += S::lanes) {
                        most = S::max(most, S::fma(S::load(logits + j), f, S::load(m.bias + j)));
                    }
                    most = S::set(S::maximum(most));
                }
                sums[r] = products[r] = S::zero();
                for (int j = 0; j < padded; j += S::lanes) {
                    Vec x = S::fma(S::load(logits + j), f, S::load(m.bias + j));
                    x = S::max(S::set(-126.0f), S::sub(x, most));
                    const Vec e = exp2_within<S>(x);
                    S::store(logits + j, e);
                    sums[r] = S::add(sums[r], e);
                    products[r] = S::fma(e, S::load(p_gradient + j), products[r]);
                }
            }
            const Vec inverse = S::reciprocal(S::sums(sums));
            S::store(inverses, inverse);
            S::store(means, S::mul(S::sums(products), inverse));
            for (int r = 0; r < S::lanes; r += 2) {
                differentiate(i + r, padded, inverses + r, means + r, m);
            }
        }
    }

    // Rows i and i + 1.
    IMAGEN_INLINE void differentiate(int i, int padded, const float* inverses, const float* means,
                                     const Memory& m) const {
        const Vec inverse[2] = {S::set(inverses[0]), S::set(inverses[1])};
        const Vec mean[2] = {S::set(means[0]), S::set(means[1])};
        for (int j = 0; j < padded; j += kStep) {
            Vec p[2][2], l[2][2];
            for (int r = 0; r < 2; ++r) {
                for (int c = 0; c < 2; ++c) {
                    const int from = (i + r) * padded + j + c * S::lanes;
                    p[r][c] = S::mul(S::load(m.logits + from), inverse[r]);
                    l[r][c] = S::mul(p[r][c], S::sub(S::load(m.p_gradient + from), mean[r]));
                }
                S::store(m.p + (i + r) * padded + j, p[r][0], p[r][1]);
                S::store(m.l_gradient + (i + r) * padded + j, l[r][0], l[r][1]);
            }
            for (int c = 0; c < 2; ++c) {
                S::store_pairs(m.p_right.at(i, j + c * S::lanes), p[0][c], p[1][c]);
                S::store_pairs(m.l_right.at(i, j + c * S::lanes), l[0][c], l[1][c]);
            }
        }
    }

    // A head's k'ᵀ or v'ᵀ (d, T) becomes operands, in rows `at` and following of q', k', v'.
    void keep(const float* gradient, int padded, int at, const Memory& m) const {
        round_rows<S>(gradient, padded, padded_d_, padded, m.gradients + at * padded, padded);
        const Right<S> columns(m.panels, padded_d_, padded);
        columns.fill(gradient, padded);
        columns.transpose(m.rows + at, 3 * width_);
    }

    // Adds to the gradients of the weights.
    void weights(bool crossed, int padded, const Memory& m, const Sums& s) const {
        const int own = crossed ? width_ : 3 * width_;
        multiply(m.gradients, padded, own, m.x_right, m.products, channels_);
        if (crossed) {
            multiply(m.gradients + width_ * padded, padded, 2 * width_, m.other_right,
                     m.products + width_ * channels_, channels_);
        }
        add(m.products, 3 * width_ * channels_, s.q);  // and, behind it, kv
        const Right<S> o(m.panels, padded, width_);
        o.fill(m.o, width_);
        multiply(m.y_transposed, padded, channels_, o, m.products, width_);
        add(m.products, channels_ * width_, s.proj);
    }
    static IMAGEN_INLINE void add(const float* from, int count, float* sums) {
        for (int i = 0; i < count; i += S::lanes) {
            S::store(sums + i, S::add(S::load(sums + i), S::load(from + i)));
        }
    }

    // The gradients of pixels, and those of the position.
    void inputs(const GradientArgs& args, const Window& window, bool crossed, int padded,
                const Memory& m, const Sums& s) const {
        const int all = 3 * width_;
        Right<S> back = back_.right;
        back.k = crossed ? width_ : all;
        multiply(m.rows, all, padded, back, m.products, channels_);
        scatter(args.x_gradient, &args.gradient, window, m.products, s);
        if (crossed) {
            back.panels.data = back.at(width_, 0);
            back.k = 2 * width_;
            multiply(m.rows + width_, all, padded, back, m.products, channels_);
            scatter(args.other_gradient, nullptr, window, m.products, s);
        }
    }
    // out = products (+ the gradient of the result)
    void scatter(const Plane& out, const Plane* added, const Window& window, const float* products,
                 const Sums& s) const {
        for (int y = window.y.begin; y < window.y.end; ++y) {
            Scalar* to = out.at<Scalar>(window.n, y, window.x.begin);
            const Scalar* more =
                added ? added->at<Scalar>(window.n, y, window.x.begin) : nullptr;
            float* position = s.position + window.cell(y, window.x.begin) * channels_;
            const int row = (window.x.end - window.x.begin) * channels_;
            for (int i = 0; i < row; i += kStep) {
                Vec a = S::load(products + i), b = S::load(products + i + S::lanes);
                S::store(position + i, S::add(S::load(position + i), a));
                S::store(position + i + S::lanes, S::add(S::load(position + i + S::lanes), b));
                if (more) {
                    a = S::add(a, S::load(more + i));
                    b = S::add(b, S::load(more + i + S::lanes));
                }
                S::store(to + i, a, b);
            }
            products += row;
        }
    }

    Windows windows_;
    int channels_, d_, padded_d_, heads_, width_, cells_, most_;
    Weight q_, proj_, back_;
    Buffer kv_, position_, scale_;
};

}  // namespace imagen_fast::cpu
