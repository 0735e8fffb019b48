// Multi-head attention with normalised queries and keys: what windows and whole images share.
//
// out = proj(softmax(τ q̂ k̂ᵀ / √d) v), q̂ and k̂ being q / rms(q) and k / rms(k) per head, so that a
// logit is at most |τ| √d. τ, √d and log₂e go into q̂. Where that bound allows it, exponentials are
// summed without looking for the largest logit first.
//
// The article's listing has biases, no normalisation, and softmax(relu(q kᵀ / √d)).
#pragma once

#include <cmath>

#include "activation.h"
#include "gemm.h"
#include "op.h"
#include "pieces.h"

namespace imagen_fast::cpu {

template <class S>
class AttentionCore {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    // A token matrix of one image or window as the GEMMs want it: per head k̂ᵀ (d, tokens) and
    // v (tokens, d), both packed. Tokens are padded to whole panels.
    struct Keys {
        Scalar *k, *v;
        int tokens;
    };

    // Logits below it need no maximum: 2^±60, summed and divided, stays far from float's limits.
    static constexpr float kBound = 60;

    explicit AttentionCore(const Attention& a)
        : d_(a.head_dim),
          heads_(a.channels / a.head_dim),
          padded_d_(round_up(a.head_dim, S::lanes * S::depth)),
          channels_(round_up(a.channels, kChannelMultiple)),
          one_over_d_(1.0f / static_cast<float>(a.head_dim)),
          // Column j of q, k or v is channel j % padded_d of head j / padded_d.
          q_(channels_, width(),
             [&](int i, int j) { return i < a.channels ? at(a.q, a.channels, row(j), i) : 0.0f; }),
          kv_(channels_, 2 * width(),
              [&](int i, int j) {
                  const int r = row(j % width());
                  const int offset = j < width() || r < 0 ? 0 : a.channels;
                  return i < a.channels ? at(a.kv, a.channels, r < 0 ? r : r + offset, i) : 0.0f;
              }),
          proj_(width(), channels_,
                [&](int i, int j) {
                    return j < a.channels && row(i) >= 0 ? a.proj[j * a.channels + row(i)] : 0.0f;
                }),
          scale_(heads_ * sizeof(float)),
          normalised_(a.temperature),
          relu_(a.relu) {
        if (a.q_bias) {
            q_bias_ = bias(width(), [&](int j) { return row(j) < 0 ? 0.0f : a.q_bias[row(j)]; });
            kv_bias_ = bias(2 * width(), [&](int j) {
                const int r = row(j % width());
                return r < 0 ? 0.0f : a.kv_bias[j < width() ? r : r + a.channels];
            });
            proj_bias_ = bias(channels_, [&](int j) { return j < a.channels ? a.proj_bias[j] : 0.0f; });
        }
        float most = 0;
        for (int h = 0; h < heads_; ++h) {
            const float temperature = normalised_ ? a.temperature[h] : 1.0f;
            const float scale = temperature * kLog2e / std::sqrt(static_cast<float>(d_));
            static_cast<float*>(scale_.data())[h] = scale;
            most = std::fabs(scale) > most ? std::fabs(scale) : most;
        }
        bounded_ = normalised_ && most * d_ < kBound;
    }

    int channels() const { return channels_; }

    static int padded(int tokens) {
        return round_up(Panels<S>::shaped(nullptr, 1, tokens).width(), S::k_multiple);
    }
    // Rows to have memory for when there are `tokens`.
    static constexpr int rows(int tokens) { return round_up(tokens, S::row_multiple); }
    std::ptrdiff_t keys_elements(int tokens) const {
        return heads_ * (k_panels(nullptr, tokens).elements() + v_panels(nullptr, tokens).elements());
    }
    Keys keys(Scalar* memory, int tokens) const {
        return {memory, memory + heads_ * k_panels(nullptr, tokens).elements(), tokens};
    }

    // Tokens first to first + count - 1 of the keys from context rows (count, C); zeros from there
    // to first + room. first and room are multiples of S::lanes.
    void project_keys(const Scalar* rows, int first, int count, int room, const Keys& keys,
                      Pieces scratch) const {
        const int wide = kv_.panels.width();
        float* kv = scratch.take<float>(room * wide);
        Scalar* k = scratch.take<Scalar>(room * width());
        gemm({{rows}, 1, channels_, channels_, count}, kv_.panels, floats(kv_bias_), kv, wide);
        for (int t = 0; t < room; ++t) {
            for (int h = 0; h < heads_; ++h) {
                const int at = h * padded_d_;
                if (t < count) {
                    normalise(kv + t * wide + at, 1.0f, k + t * width() + at);
                } else {
                    clear(k + t * width() + at);
                }
            }
            for (int j = width(); t >= count && j < 2 * width(); j += S::lanes) {
                S::store(kv + t * wide + j, S::zero());
            }
        }
        for (int h = 0; h < heads_; ++h) {
            pack_k(k + h * padded_d_, h, first, room, keys);
            pack_v(kv + width() + h * padded_d_, wide, h, first, room, keys);
        }
    }
    std::size_t project_keys_scratch(int room) const {
        Pieces pieces(nullptr);
        pieces.take<float>(room * kv_.panels.width());
        pieces.take<Scalar>(room * width());
        return pieces.used();
    }

    // (count, C) → attended and projected, float (count, result_width); both with memory for
    // rows(count) rows.
    void attend(const Scalar* tokens, int count, const Keys& keys, float* result,
                Pieces scratch) const {
        const int wide = q_.panels.width(), block = query_block(keys.tokens);
        const int columns = padded(keys.tokens), v_wide = v_panels(nullptr, keys.tokens).width();
        float* projected = scratch.take<float>(rows(count) * wide);
        Scalar* q = scratch.take<Scalar>(rows(count) * width());
        Scalar* attended = scratch.take<Scalar>(rows(count) * width());
        float* logits = scratch.take<float>(block * columns);
        float* sums = scratch.take<float>(block * v_wide);
        float* inverse = scratch.take<float>(block);

        gemm({{tokens}, 1, channels_, channels_, count}, q_.panels, floats(q_bias_), projected, wide);
        for (int t = 0; t < count; ++t) {
            for (int h = 0; h < heads_; ++h) {
                normalise(projected + t * wide + h * padded_d_,
                          static_cast<const float*>(scale_.data())[h],
                          q + t * width() + h * padded_d_);
            }
        }
        for (int h = 0; h < heads_; ++h) {
            const Panels<S> k = k_panels(keys.k, keys.tokens, h);
            const Panels<S> v = v_panels(keys.v, keys.tokens, h);
            for (int first = 0; first < count; first += block) {
                const int n = count - first < block ? count - first : block;
                const std::ptrdiff_t start = first * width() + h * padded_d_;
                gemm({{q + start}, 1, padded_d_, width(), n}, k, nullptr, logits, columns);
                for (int i = 0; i < n; ++i) {
                    inverse[i] = bounded_ ? softmax<false>(logits + i * columns, keys.tokens)
                                          : softmax<true>(logits + i * columns, keys.tokens);
                }
                // A row of probabilities lies where its logits were.
                const int stride = columns * static_cast<int>(sizeof(float) / sizeof(Scalar));
                gemm({{reinterpret_cast<Scalar*>(logits)}, 1, columns, stride, n}, v, nullptr, sums,
                     v_wide);
                for (int i = 0; i < n; ++i) {
                    for (int j = 0; j < padded_d_; j += S::lanes) {
                        S::store(attended + start + i * width() + j,
                                 S::mul(S::load(sums + i * v_wide + j), S::set(inverse[i])));
                    }
                }
            }
        }
        gemm({{attended}, 1, width(), width(), count}, proj_.panels, floats(proj_bias_),
             result, result_width());
    }
    int result_width() const { return proj_.panels.width(); }
    std::size_t attend_scratch(int count, int tokens) const {
        const int block = query_block(tokens);
        Pieces pieces(nullptr);
        pieces.take<float>(rows(count) * q_.panels.width());
        pieces.take<Scalar>(rows(count) * width());
        pieces.take<Scalar>(rows(count) * width());
        pieces.take<float>(block * static_cast<std::ptrdiff_t>(padded(tokens)));
        pieces.take<float>(block * v_panels(nullptr, tokens).width());
        pieces.take<float>(block);
        return pieces.used();
    }

private:
    constexpr int width() const { return heads_ * padded_d_; }
    // The channel in column j of q, k and v; -1 in the padding.
    constexpr int row(int j) const {
        return j % padded_d_ < d_ ? j / padded_d_ * d_ + j % padded_d_ : -1;
    }
    static float at(const float* weight, int in, int row, int column) {
        return row < 0 ? 0.0f : weight[static_cast<std::ptrdiff_t>(row) * in + column];
    }

    Panels<S> k_panels(const Scalar* k, int tokens, int head = 0) const {
        Panels<S> panels = Panels<S>::shaped(k, padded_d_, padded(tokens));
        panels.data += head * panels.elements();
        return panels;
    }
    Panels<S> v_panels(const Scalar* v, int tokens, int head = 0) const {
        Panels<S> panels = Panels<S>::shaped(v, padded(tokens), padded_d_);
        panels.data += head * panels.elements();
        return panels;
    }
    // Rows of logits at a time: a few register tiles, as long as they stay in the first cache.
    static int query_block(int tokens) {
        return (tokens <= 256 ? 4 : 1) * (S::row_multiple > 1 ? S::row_multiple : 6);
    }

    static const float* floats(const Buffer& buffer) {
        return static_cast<const float*>(buffer.data());
    }
    // value(j) for j < n, then zeros to the end of the panels.
    template <class Value>
    static Buffer bias(int n, Value value) {
        Buffer buffer(Panels<S>::shaped(nullptr, 1, n).width() * sizeof(float));
        for (int j = 0; j < n; ++j) {
            static_cast<float*>(buffer.data())[j] = value(j);
        }
        return buffer;
    }

    // out = scale · in / rms(in), or scale · in
    IMAGEN_INLINE void normalise(const float* in, float scale, Scalar* out) const {
        Vec factor = S::set(scale);
        if (normalised_) {
            Vec squares = S::zero();
            for (int j = 0; j < padded_d_; j += S::lanes) {
                const Vec a = S::load(in + j);
                squares = S::fma(a, a, squares);
            }
            const float rms = std::sqrt(S::sum(squares) * one_over_d_ + 1e-6f);
            factor = S::set(scale / rms);
        }
        for (int j = 0; j < padded_d_; j += S::lanes) {
            S::store(out + j, S::mul(S::load(in + j), factor));
        }
    }
    IMAGEN_INLINE void clear(Scalar* out) const {
        for (int j = 0; j < padded_d_; j += S::lanes) {
            S::store(out + j, S::zero());
        }
    }

    void pack_k(const Scalar* k, int head, int first, int room, const Keys& keys) const {
        const Panels<S> panels = k_panels(keys.k, keys.tokens, head);
        const int wide = panels.columns * S::lanes;
        for (int t = 0; t < room; t += S::lanes) {
            const int column = first + t;
            Scalar* out = const_cast<Scalar*>(panels.data) + column / wide * panels.size +
                          column % wide * S::depth;
            for (int j = 0; j < padded_d_; j += S::lanes * S::depth) {
                S::transpose(k + t * width() + j, width(),
                             out + static_cast<std::ptrdiff_t>(j) * wide, wide * S::depth);
            }
        }
    }
    void pack_v(const float* v, int stride, int head, int first, int room,
                const Keys& keys) const {
        const Panels<S> panels = v_panels(keys.v, keys.tokens, head);
        const int wide = panels.columns * S::lanes;
        for (int t = 0; t < room; t += S::depth) {
            for (int j = 0; j < padded_d_; j += S::lanes) {
                Scalar* out = const_cast<Scalar*>(panels.data) + j / wide * panels.size +
                              (first + t) * static_cast<std::ptrdiff_t>(wide) +
                              j % wide * S::depth;
                const float* from = v + t * static_cast<std::ptrdiff_t>(stride) + j;
                if constexpr (S::depth == 2) {
                    S::store_pairs(out, S::load(from), S::load(from + stride));
                } else {
                    S::store(out, S::load(from));
                }
            }
        }
    }

    // Exponentials of a row of logits, in place, as scalars; returns 1 / their sum. The padding
    // behind the last token has v = 0, but must not count in the sum.
    template <bool find_maximum>
    IMAGEN_INLINE float softmax(float* logits, int tokens) const {
        if (relu_) {
            for (int j = 0; j < tokens; j += S::lanes) {
                S::store(logits + j, S::max(S::zero(), S::load(logits + j)));
            }
        }
        // Bounded logits are at least -60, to which 2^-126 is nothing.
        constexpr float kNothing = find_maximum ? -INFINITY : -126.0f;
        alignas(64) float tail[S::lanes];  // added to the last vector's logits
        for (int j = 0; j < S::lanes; ++j) {
            tail[j] = j < tokens % S::lanes ? 0.0f : kNothing;
        }
        const int whole = tokens / S::lanes * S::lanes, all = padded(tokens);
        if (whole < tokens) {
            S::store(logits + whole, S::add(S::load(logits + whole), S::load(tail)));
        }
        const int end = round_up(tokens, S::lanes);
        Vec offset = S::zero();
        if constexpr (find_maximum) {
            Vec largest = S::load(logits);
            for (int j = S::lanes; j < end; j += S::lanes) {
                largest = S::max(largest, S::load(logits + j));
            }
            offset = S::set(S::maximum(largest));
        }
        auto* out = reinterpret_cast<Scalar*>(logits);
        Vec sum = S::zero();
        for (int j = 0; j < end; j += S::lanes) {
            Vec logit = S::load(logits + j);
            if constexpr (find_maximum) {
                logit = S::max(S::set(-126.0f), S::sub(logit, offset));
            }
            const Vec p = exp2_within<S>(logit);
            sum = S::add(sum, p);
            S::store(out + j, p);
        }
        for (int j = end; j < all; j += S::lanes) {
            S::store(out + j, S::zero());
        }
        return 1.0f / S::sum(sum);
    }

    int d_, heads_, padded_d_, channels_;
    float one_over_d_;
    Matrix<S> q_, kv_, proj_;
    Buffer scale_, q_bias_, kv_bias_, proj_bias_;
    bool normalised_, relu_, bounded_;
};

}  // namespace imagen_fast::cpu
