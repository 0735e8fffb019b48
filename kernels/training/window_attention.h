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
#include "attention_head.h"
#include "op.h"
#include "operands.h"

namespace imagen_fast::cpu {

template <class S>
class WindowAttentionGradient final : public GradientOp {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;
    static constexpr int kStep = 2 * S::lanes;  // of tokens and channels
    static constexpr int kQueries = kStep;      // whose logits are in the first cache at a time

public:
    explicit WindowAttentionGradient(const Attention& a)
        : windows_{a.window, a.shift},
          channels_(a.channels),
          d_(a.head_dim),
          padded_d_(round_up(a.head_dim, kStep)),
          head_(d_, padded_d_),
          heads_(a.channels / a.head_dim),
          width_(heads_ * padded_d_),
          cells_(a.window * a.window),
          weights_((2 * channels_ + 3 * channels_ + 2 * channels_) * width_ * sizeof(Scalar)),
          position_(cells_ * channels_ * sizeof(float)),
          scale_(heads_ * sizeof(float)) {
        for (int j = 0; j < width_; ++j) {
            const int r = row(j), h = j / padded_d_, c = j % padded_d_;
            for (int i = 0; r >= 0 && i < channels_; ++i) {
                const float q = a.q[r * channels_ + i], k = a.kv[r * channels_ + i],
                            v = a.kv[(channels_ + r) * channels_ + i];
                queries(h).set(i, c, q);
                projection(h).set(i, c, a.proj[i * channels_ + r]);
                back().set(j, i, q);
                back().set(width_ + j, i, k);
                back().set(2 * width_ + j, i, v);
                keys(h)[c * channels_ + i] = S::scalar(k);
                keys(h)[(padded_d_ + c) * channels_ + i] = S::scalar(v);
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
        (void)Memory(*this, round_up(cells_, kStep), pieces);
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
        const Window next = windows_.at(block + 1 < blocks(args) ? block + 1 : block, args.x);
        for (int j = 0; j < padded; ++j) {
            m.bias[j] = j < tokens ? 0.0f : AttentionHead<S>::kNever;
        }
        gather(args.x, window, true, m.x, padded);
        m.x_right.fill(m.x, channels_);
        if (crossed) {
            gather(args.other, window, true, m.other, padded);
            m.other_right.fill(m.other, channels_);
        }
        m.other_transposed.fill_transposed(crossed ? m.other : m.x, channels_);
        gather(args.gradient, window, false, m.y, padded);
        turn(m.y, channels_, padded, channels_, m.panels, m.y_transposed, padded);
        for (int h = 0; h < heads_; ++h) {
            operands(h, padded, m);
            prefetch(args, next, h, 0);
            for (int i = 0; i < padded; i += kQueries) {
                attend(h, i, padded, m);
                prefetch(args, next, h, 1 + i / kQueries);
            }
            gradients(h, padded, m, s);
            prefetch(args, next, h, 3);
            weights(h, crossed, padded, m, s);
        }
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
    // The packed weights, of q, k, v (C, W) and proj (W, C): of head h q (C, d), projᵀ (C, d) and, as
    // rows, kᵀ and vᵀ (2d, C); of all of them qᵀ, kᵀ, vᵀ (3W, C).
    Scalar* packed(int first) const {
        return static_cast<Scalar*>(weights_.data()) + first * channels_ * padded_d_;
    }
    Right<S> queries(int h) const { return {packed(h), channels_, padded_d_}; }
    Right<S> projection(int h) const { return {packed(heads_ + h), channels_, padded_d_}; }
    Scalar* keys(int h) const { return packed(2 * (heads_ + h)); }
    Right<S> back() const { return {packed(4 * heads_), 3 * width_, channels_}; }

    // Of one window: T tokens, C channels, W = heads · d, d being padded. What is of one head or less
    // is where that of the head before was.
    struct Memory {
        Scalar *x, *other, *y;               // (T, C): pixels + position, and the gradient
        Right<S> x_right, other_right;       // (T, C)
        Right<S> other_transposed;           // (C, T)
        Scalar* y_transposed;                // (C, T)
        Scalar *q, *q_transposed;            // (T, d), (d, T): normalised queries
        float* factors;                      // (T): 1 / rms of queries
        float* k_factors;                    // (T): and of keys
        Scalar *k, *v;                       // (d, T): normalised keys, and values
        Right<S> k_right, k_transposed;      // (T, d), (d, T)
        Right<S> v_right, v_transposed;      // (T, d), (d, T)
        Scalar *o, *o_transposed;            // (T, d), (d, T): o'
        float *logits, *p_gradient;          // (kQueries, T)
        Scalar *p, *l;                       // (kQueries, T): probabilities and L'
        Right<S> p_right, l_right;           // (T, T)
        float *attended, *q_gradient;        // (T, d): P v, L' k̂
        float* bias;                         // (T): what takes a key away, or 0
        float* products;                     // (T, C), (T, d), (d, T), (3d, C) or (C, d)
        Scalar* panels;                      // (T, C) or (T, d): what is to be transposed
        Scalar* gradients;                   // (3d, T): q', k', v', transposed
        Scalar* rows;                        // (T, 3W): the same

        IMAGEN_INLINE Memory(const WindowAttentionGradient& a, int t, Pieces& pieces)
            : x(pieces.take<Scalar>(t * a.channels_)),
              other(pieces.take<Scalar>(t * a.channels_)),
              y(pieces.take<Scalar>(t * a.channels_)),
              x_right(right(pieces, t, a.channels_)),
              other_right(right(pieces, t, a.channels_)),
              other_transposed(right(pieces, a.channels_, t)),
              y_transposed(pieces.take<Scalar>(t * a.channels_)),
              q(pieces.take<Scalar>(t * a.padded_d_)),
              q_transposed(pieces.take<Scalar>(t * a.padded_d_)),
              factors(pieces.take<float>(t)),
              k_factors(pieces.take<float>(t)),
              k(pieces.take<Scalar>(t * a.padded_d_)),
              v(pieces.take<Scalar>(t * a.padded_d_)),
              k_right(right(pieces, t, a.padded_d_)),
              k_transposed(right(pieces, a.padded_d_, t)),
              v_right(right(pieces, t, a.padded_d_)),
              v_transposed(right(pieces, a.padded_d_, t)),
              o(pieces.take<Scalar>(t * a.padded_d_)),
              o_transposed(pieces.take<Scalar>(t * a.padded_d_)),
              logits(pieces.take<float>(kQueries * t)),
              p_gradient(pieces.take<float>(kQueries * t)),
              p(pieces.take<Scalar>(kQueries * t)),
              l(pieces.take<Scalar>(kQueries * t)),
              p_right(right(pieces, t, t)),
              l_right(right(pieces, t, t)),
              attended(pieces.take<float>(t * a.padded_d_)),
              q_gradient(pieces.take<float>(t * a.padded_d_)),
              bias(pieces.take<float>(t)),
              products(pieces.take<float>(largest(t * largest(a.channels_, a.padded_d_),
                                                  3 * a.padded_d_ * a.channels_))),
              panels(pieces.take<Scalar>(t * largest(a.channels_, a.padded_d_))),
              gradients(pieces.take<Scalar>(3 * t * a.padded_d_)),
              rows(pieces.take<Scalar>(3 * t * a.width_)) {}

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
              position(temperature + round_up(a.heads_, S::lanes)),
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
    // rows (k, n) → out (n, k), through `panels`
    static IMAGEN_INLINE void turn(const Scalar* rows, std::ptrdiff_t stride, int k, int n,
                                   Scalar* panels, Scalar* out, std::ptrdiff_t out_stride) {
        const Right<S> right(panels, k, n);
        right.fill(rows, stride);
        right.transpose(out, out_stride);
    }

    // Asks the caches for a quarter of the next window's pixels, while there are products to wait for.
    IMAGEN_INLINE void prefetch(const GradientArgs& args, const Window& next, int h,
                                int quarter) const {
        if (h > 0 || quarter > 3) {
            return;
        }
        const int rows = next.y.end - next.y.begin, first = rows * quarter / 4,
                  count = rows * (quarter + 1) / 4 - first, columns = next.x.end - next.x.begin;
        const Plane* const planes[] = {&args.x, &args.other, &args.gradient, &args.x_gradient};
        for (const Plane* plane : planes) {
            plane->template prefetch<Scalar>(next.n, next.y.begin + first, next.x.begin, count,
                                             columns);
        }
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

    // Queries, keys, values and o' of head h.
    void operands(int h, int padded, const Memory& m) const {
        multiply(m.x, channels_, padded, queries(h), m.products, padded_d_);
        head_.normalise_queries(m.products, padded, m.q, m.factors);
        turn(m.q, padded_d_, padded, padded_d_, m.panels, m.q_transposed, padded);

        multiply(keys(h), channels_, padded_d_, m.other_transposed, m.products, padded);
        head_.normalise_keys(m.products, padded, m.k, m.k_factors);
        m.k_transposed.fill(m.k, padded);
        m.k_right.fill_transposed(m.k, padded);

        multiply(keys(h) + padded_d_ * channels_, channels_, padded_d_, m.other_transposed,
                 m.products, padded);
        round_rows<S>(m.products, padded, padded_d_, padded, m.v, padded);
        m.v_transposed.fill(m.v, padded);
        m.v_right.fill_transposed(m.v, padded);

        multiply(m.y, channels_, padded, projection(h), m.products, padded_d_);
        round_rows<S>(m.products, padded_d_, padded, padded_d_, m.o, padded_d_);
        turn(m.o, padded_d_, padded, padded_d_, m.panels, m.o_transposed, padded);
    }

    // Queries `first` to first + kQueries - 1: probabilities and L', and what they make of v and k̂.
    void attend(int h, int first, int padded, const Memory& m) const {
        const int at = first * padded_d_;
        multiply(m.q + at, padded_d_, kQueries, m.k_transposed, m.logits, padded);
        multiply(m.o + at, padded_d_, kQueries, m.v_transposed, m.p_gradient, padded);
        head_.softmax(static_cast<const float*>(scale_.data())[h], m.logits, m.p_gradient, m.bias,
                      kQueries, padded, m.p, m.l);
        m.p_right.fill(m.p, padded, first, kQueries);
        m.l_right.fill(m.l, padded, first, kQueries);
        multiply(m.p, padded, kQueries, m.v_right, m.attended + at, padded_d_);
        multiply(m.l, padded, kQueries, m.k_right, m.q_gradient + at, padded_d_);
    }

    // q', k' and v' of head h, and what the loss changes by with τ.
    void gradients(int h, int padded, const Memory& m, const Sums& s) const {
        const float scale = static_cast<const float*>(scale_.data())[h];
        Scalar* const rows = m.rows + h * padded_d_;
        Scalar *const q = m.gradients, *const k = q + padded_d_ * padded,
               *const v = k + padded_d_ * padded;

        s.temperature[h] += head_.query_gradients(m.q, m.factors, scale, padded, m.q_gradient);
        round_rows<S>(m.q_gradient, padded_d_, padded, padded_d_, rows, 3 * width_);
        turn(rows, 3 * width_, padded, padded_d_, m.panels, q, padded);

        multiply(m.q_transposed, padded, padded_d_, m.l_right, m.products, padded);
        head_.key_gradients(m.k, m.k_factors, scale, padded, m.products);
        round_rows<S>(m.products, padded, padded_d_, padded, k, padded);
        turn(k, padded, padded_d_, padded, m.panels, rows + width_, 3 * width_);

        multiply(m.o_transposed, padded, padded_d_, m.p_right, m.products, padded);
        round_rows<S>(m.products, padded, padded_d_, padded, v, padded);
        turn(v, padded, padded_d_, padded, m.panels, rows + 2 * width_, 3 * width_);
    }

    // Adds to the gradients of the weights of head h.
    void weights(int h, bool crossed, int padded, const Memory& m, const Sums& s) const {
        const int all = padded_d_ * channels_;
        multiply(m.gradients, padded, crossed ? padded_d_ : 3 * padded_d_, m.x_right, m.products,
                 channels_);
        if (crossed) {
            multiply(m.gradients + padded_d_ * padded, padded, 2 * padded_d_, m.other_right,
                     m.products + all, channels_);
        }
        add(m.products, all, s.q + h * all);
        add(m.products + all, all, s.kv + h * all);
        add(m.products + 2 * all, all, s.kv + (heads_ + h) * all);
        const Right<S> attended(m.panels, padded, padded_d_);
        attended.fill(m.attended, padded_d_);
        multiply(m.y_transposed, padded, channels_, attended, m.products, padded_d_);
        for (int i = 0; i < channels_; ++i) {
            add(m.products + i * padded_d_, padded_d_, s.proj + i * width_ + h * padded_d_);
        }
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
        Right<S> right = back();
        right.k = crossed ? width_ : all;
        multiply(m.rows, all, padded, right, m.products, channels_);
        scatter(args.x_gradient, &args.gradient, window, m.products, s);
        if (crossed) {
            right.panels.data = right.at(width_, 0);
            right.k = 2 * width_;
            multiply(m.rows + width_, all, padded, right, m.products, channels_);
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
    int channels_, d_, padded_d_;
    AttentionHead<S> head_;
    int heads_, width_, cells_;
    Buffer weights_, position_, scale_;
};

}  // namespace imagen_fast::cpu
