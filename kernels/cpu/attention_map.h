// The probabilities of window attention, for people to look at.
#pragma once

#include "window_attention.h"

namespace imagen_fast::cpu {

// Block: one window. A pixel of the result has heads · window² elements, 0 for keys outside.
template <class S>
class AttentionMap final : public Op {
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

public:
    explicit AttentionMap(const Attention& a)
        : windows_{a.window, a.shift},
          channels_(round_up(a.channels, kChannelMultiple)),
          d_(a.head_dim),
          heads_(a.channels / a.head_dim),
          wide_(round_up(heads_ * round_up(d_, S::lanes), kChannelMultiple)),
          q_(channels_, wide_, [&](int i, int j) { return weight(a, a.q, i, j); }),
          k_(channels_, wide_, [&](int i, int j) { return weight(a, a.kv, i, j); }),
          position_(a.window * a.window * channels_ * sizeof(float)),
          scale_(heads_ * sizeof(float)) {
        for (int cell = 0; cell < a.window * a.window; ++cell) {
            for (int c = 0; c < a.channels; ++c) {
                static_cast<float*>(position_.data())[cell * channels_ + c] =
                    a.position[cell * a.channels + c];
            }
        }
        for (int h = 0; h < heads_; ++h) {
            static_cast<float*>(scale_.data())[h] =
                a.temperature[h] * kLog2e / std::sqrt(static_cast<float>(d_));
        }
    }

    int blocks(const Args& args) const override { return windows_.count(args.x); }
    std::size_t scratch(const Args&) const override {
        Pieces pieces(nullptr);
        memory(pieces);
        return pieces.used();
    }

    void run(int block, const Args& args, std::byte* scratch) const override {
        const Window window = windows_.at(block, args.x);
        Pieces pieces(scratch);
        const Memory m = memory(pieces);
        project(args.x, window, q_, m.tokens, m.q);
        project(args.other.data ? args.other : args.x, window, k_, m.tokens, m.k);
        const int cells = windows_.size * windows_.size;
        int query = 0;
        for (int y = window.y.begin; y < window.y.end; ++y) {
            for (int x = window.x.begin; x < window.x.end; ++x, ++query) {
                for (int i = 0; i < args.out.channels; i += S::lanes) {
                    S::store(m.row + i, S::zero());
                }
                for (int h = 0; h < heads_; ++h) {
                    softmax(window, m, query, h, m.row + h * cells);
                }
                Scalar* out = args.out.at<Scalar>(window.n, y, x);
                for (int i = 0; i < args.out.channels; i += S::lanes) {
                    S::store(out + i, S::load(m.row + i));
                }
            }
        }
    }

private:
    struct Memory {
        Scalar* tokens;       // (cells, C)
        float *q, *k, *row;   // (cells, wide), one pixel of the result
    };
    Memory memory(Pieces& pieces) const {
        const int cells = round_up(windows_.size * windows_.size, S::row_multiple);
        Memory m;
        m.tokens = pieces.take<Scalar>((cells + Plane::kAfterLast) * channels_);
        m.q = pieces.take<float>(cells * width());
        m.k = pieces.take<float>(cells * width());
        m.row = pieces.take<float>(round_up(heads_ * windows_.size * windows_.size, kChannelMultiple));
        return m;
    }
    int width() const { return q_.panels.width(); }
    int head() const { return round_up(d_, S::lanes); }  // elements of one, padded

    // Column j is channel j % head() of head j / head().
    float weight(const Attention& a, const float* matrix, int i, int j) const {
        const int h = j / head(), c = j % head();
        return i < a.channels && h < heads_ && c < d_
                   ? matrix[(h * d_ + c) * a.channels + i]
                   : 0.0f;
    }

    void project(const Plane& plane, const Window& window, const Matrix<S>& weights, Scalar* tokens,
                 float* out) const {
        gather<S>(plane, window, position_, channels_, tokens);
        const int count = window.tokens();
        gemm(Rows<S>{{tokens}, 1, channels_, channels_, count}, weights.panels, nullptr, out, width());
    }

    float dot(const float* a, const float* b) const {
        Vec sum = S::zero();
        for (int c = 0; c < head(); c += S::lanes) {
            sum = S::fma(S::load(a + c), S::load(b + c), sum);
        }
        return S::sum(sum);
    }
    float inverse_rms(const float* a) const {
        return 1.0f / std::sqrt(dot(a, a) / static_cast<float>(d_) + 1e-6f);
    }

    void softmax(const Window& window, const Memory& m, int query, int h, float* out) const {
        const float* q = m.q + query * width() + h * head();
        const float factor = static_cast<const float*>(scale_.data())[h] * inverse_rms(q);
        float most = -1e30f, sum = 0;
        int key = 0;
        for (int y = window.y.begin; y < window.y.end; ++y) {
            for (int x = window.x.begin; x < window.x.end; ++x, ++key) {
                const float* k = m.k + key * width() + h * head();
                const float logit = factor * inverse_rms(k) * dot(q, k);
                out[window.cell(y, x)] = logit;
                most = logit > most ? logit : most;
            }
        }
        for (int y = window.y.begin; y < window.y.end; ++y) {
            for (int x = window.x.begin; x < window.x.end; ++x) {
                float& p = out[window.cell(y, x)];
                p = std::exp2(p - most);
                sum += p;
            }
        }
        for (int y = window.y.begin; y < window.y.end; ++y) {
            for (int x = window.x.begin; x < window.x.end; ++x) {
                out[window.cell(y, x)] /= sum;
            }
        }
    }

    Windows windows_;
    int channels_, d_, heads_, wide_;
    Matrix<S> q_, k_;
    Buffer position_, scale_;
};

}  // namespace imagen_fast::cpu
