// Window attention on a matrix unit: as window_attention.h, for the heads of 32 channels and the
// windows of at most 64 cells that the presets have.
//
// A tile of products costs 16 cycles, so everything around the products counts: keys are computed
// transposed, as kᵀ = Wk xᵀ, so that their norms are sums of whole vectors and no head is
// transposed; a row's sum of exponentials is one more product, with ones; and tiles of queries
// follow each other through four stages, so that one's products run beside another's exponentials.
#pragma once

#include "amx_operands.h"
#include "simd_amx.h"
#include "window_attention.h"

namespace imagen_fast::cpu {

template <class Unit>
class AmxWindowAttention final : public Op {
    using S = Amx<Unit>;
    using Scalar = std::uint16_t;
    using Vec = __m512;
    using Operands = AmxOperands<S>;
    static constexpr int d = Operands::d, kTile = Operands::kTile, kTokens = 64;
    static constexpr int kWindows = 4;                       // in a block

public:
    static bool fits(const Attention& a) {
        return a.temperature && !a.q_bias && !a.relu && a.residual && a.head_dim == d &&
               a.window * a.window <= kTokens && bounded(a);
    }

    explicit AmxWindowAttention(const Attention& a)
        : windows_{a.window, a.shift},
          channels_(a.channels),
          heads_(a.channels / d),
          q_(channels_, channels_, [&](int i, int j) { return a.q[j * channels_ + i]; }),
          v_(channels_, channels_,
             [&](int i, int j) { return a.kv[(channels_ + j) * channels_ + i]; }),
          proj_(channels_, channels_, [&](int i, int j) { return a.proj[j * channels_ + i]; }),
          k_(channels_ * channels_ * sizeof(Scalar)),
          scale_(heads_ * sizeof(float)),
          position_(a.window * a.window * channels_ * sizeof(float)) {
        for (int i = 0; i < channels_ * channels_; ++i) {
            static_cast<Scalar*>(k_.data())[i] = S::scalar(a.kv[i]);
        }
        for (int h = 0; h < heads_; ++h) {
            static_cast<float*>(scale_.data())[h] = scale(a, h);
        }
        std::memcpy(position_.data(), a.position, position_.size());
    }

    int blocks(const Args& args) const override {
        return (windows_.count(args.x) + kWindows - 1) / kWindows;
    }
    std::size_t scratch(const Args&) const override {
        Pieces pieces(nullptr);
        memory(pieces);
        return pieces.used();
    }

    // Block: kWindows windows in a row.
    void run(int block, const Args& args, std::byte* scratch) const override {
        const int first = block * kWindows, all = windows_.count(args.x);
        const int end = first + kWindows < all ? first + kWindows : all;
        Pieces pieces(scratch);
        const Memory m = memory(pieces);
        for (int i = first; i < end; ++i) {
            const Window window = windows_.at(i, args.x);
            window.tokens() > 32 ? attend<2>(args, window, m) : attend<1>(args, window, m);
        }
    }

private:
    struct Memory {
        Scalar *x, *context;      // (tokens, C): pixels + position
        Scalar* transposed;       // context as B: (tokens / 16, C / 32) tiles
        Scalar *q, *k, *v;        // per head: A (tokens, d), B (d, tokens), B (tokens, d)
        Scalar* ones;             // B (tokens, 16): 1 where there is a key
        Scalar* attended;         // (tokens, C)
        float* products[3];       // (32, 32)
        float* logits[2];         // (16, tokens)
        Scalar* exponentials[2];  // (16, tokens)
        float* sums;              // (3, 16, 16): exponentials · values, and exponentials alone
    };

    Memory memory(Pieces& p) const {
        const int all = kTokens * channels_;
        Memory m;
        m.x = p.take<Scalar>(all);
        m.context = p.take<Scalar>(all);
        m.transposed = p.take<Scalar>(all);
        m.q = p.take<Scalar>(all);
        m.k = p.take<Scalar>(all);
        m.v = p.take<Scalar>(all);
        m.ones = p.take<Scalar>(2 * kTile);
        m.attended = p.take<Scalar>(all);
        for (float*& products : m.products) {
            products = p.take<float>(32 * 32);
        }
        for (int i = 0; i < 2; ++i) {
            m.logits[i] = p.take<float>(16 * kTokens);
            m.exponentials[i] = p.take<Scalar>(16 * kTokens);
        }
        m.sums = p.take<float>(3 * 256);
        return m;
    }

    // Where templates count steps: of 32 tokens.
    template <int steps>
    void attend(const Args& args, const Window& window, const Memory& m) const {
        gather<steps>(args.x, window, m.x);
        const Scalar* context = m.x;
        if (args.other.data != args.x.data) {
            gather<steps>(args.other, window, m.context);
            context = m.context;
        }
        transpose<steps>(context, m.transposed);
        count<steps>(window.tokens(), m.ones);
        inputs<steps>(context, m);
        heads<steps>(m);
        project<steps>(args, window, m);
    }

    // Pixels + position → (tokens, C), zeros behind the last token.
    template <int steps>
    void gather(const Plane& plane, const Window& w, Scalar* out) const {
        for (int y = w.y.begin; y < w.y.end; ++y) {
            const Scalar* in = plane.at<Scalar>(w.n, y, w.x.begin);
            const float* position = static_cast<const float*>(position_.data()) +
                                    w.cell(y, w.x.begin) * channels_;
            const int row = (w.x.end - w.x.begin) * channels_;
            for (int i = 0; i < row; i += 32) {
                S::store(out + i, S::add(S::load(in + i), S::load(position + i)),
                         S::add(S::load(in + i + 16), S::load(position + i + 16)));
            }
            out += row;
        }
        for (int i = w.tokens() * channels_; i < 32 * steps * channels_; i += 32, out += 32) {
            S::store(out, S::zero(), S::zero());
        }
    }

    template <int steps>
    void transpose(const Scalar* context, Scalar* out) const {
        for (int t = 0; t < 2 * steps; ++t) {
            for (int c = 0; c < channels_; c += 32, out += kTile) {
                S::transpose(context + 16 * t * channels_ + c, channels_, out, 32);
            }
        }
    }

    template <int steps>
    static void count(int tokens, Scalar* ones) {
        for (int t = 0; t < 32 * steps; t += 2, ones += 32) {
            S::store_pairs(ones, S::set(t < tokens ? 1.0f : 0.0f),
                           S::set(t + 1 < tokens ? 1.0f : 0.0f));
        }
    }

    // Two by two tiles of A (rows of C) · B (panels of (C, 16)), summed over the channels, are
    // started, and later stored to c (32, 32). In between belongs vector code: products run by
    // themselves, but a tile's store holds up everything behind it until its sum is there.
    IMAGEN_INLINE void multiply(const Scalar* a, const Scalar* b) const {
        const std::ptrdiff_t row = 2 * channels_, panel = channels_ / 32 * kTile;
        Unit::template zero<0>();
        Unit::template zero<1>();
        Unit::template zero<2>();
        Unit::template zero<3>();
        for (int k = 0; k < channels_; k += 32, a += 32, b += kTile) {
            Unit::template load<6>(b, 64);
            Unit::template load<4>(a, row);
            Unit::template dot<0, 4, 6>();
            Unit::template load<5>(a + 16 * channels_, row);
            Unit::template dot<1, 5, 6>();
            Unit::template load<7>(b + panel, 64);
            Unit::template dot<2, 4, 7>();
            Unit::template dot<3, 5, 7>();
        }
    }
    static IMAGEN_INLINE void store(float* c) {
        Unit::template store<0>(c, 128);
        Unit::template store<1>(c + 16 * 32, 128);
        Unit::template store<2>(c + 16, 128);
        Unit::template store<3>(c + 16 * 32 + 16, 128);
    }

    // Queries, keys and values of all heads.
    template <int steps>
    void inputs(const Scalar* context, const Memory& m) const {
        const int head = d * channels_;  // of a matrix
        float *const keys = m.products[0], *const queries = m.products[1],
              *const values = m.products[2];
        for (int i = 0; i < heads_ * steps; ++i) {
            const int h = i / steps, s = i % steps;
            multiply(static_cast<const Scalar*>(k_.data()) + h * head,
                     m.transposed + 32 * s * channels_);
            if (i > 0) {
                Operands::values((i - 1) % steps, values, m.v + (i - 1) / steps * kTokens * d);
            }
            store(keys);
            multiply(m.x + 32 * s * channels_, q_.panels.data + h * head);
            Operands::keys(s, keys, m.k + h * kTokens * d);
            store(queries);
            multiply(context + 32 * s * channels_, v_.panels.data + h * head);
            Operands::queries(queries, static_cast<const float*>(scale_.data())[h],
                           m.q + h * kTokens * d + 32 * s * d);
            store(values);
        }
        Operands::values(steps - 1, values, m.v + (heads_ - 1) * kTokens * d);
    }

    // Tile u of 16 queries, counted through all heads, passes logits, exponentials, weigh, divide.
    // While its exponentials are computed, the matrix unit works for its neighbours.
    template <int steps>
    void heads(const Memory& m) const {
        const int tiles = heads_ * 2 * steps;
        logits<steps>(0, m);
        store_logits<steps>(0, m);
        for (int u = 0; u < tiles; ++u) {
            if (u > 1) {
                store_sums(m);
            }
            if (u + 1 < tiles) {
                logits<steps>(u + 1, m);
            }
            exponentials<steps>(u, 0, m);
            if (u + 1 < tiles) {
                store_logits<steps>(u + 1, m);
            }
            exponentials<steps>(u, 4, m);
            if (u > 0) {
                weigh<steps>(u - 1, m);
            }
            exponentials<steps>(u, 8, m);
            exponentials<steps>(u, 12, m);
            if (u > 1) {
                divide<steps>(u - 2, m);
            }
        }
        store_sums(m);
        weigh<steps>(tiles - 1, m);
        divide<steps>(tiles - 2, m);
        store_sums(m);
        divide<steps>(tiles - 1, m);
    }

    template <int steps>
    IMAGEN_INLINE void logits(int u, const Memory& m) const {
        const Scalar* q = m.q + u / (2 * steps) * kTokens * d + u % (2 * steps) * kTile;
        const Scalar* k = m.k + u / (2 * steps) * kTokens * d;
        Unit::template load<4>(q, 64);
        Unit::template zero<0>();
        Unit::template load<6>(k, 64);
        Unit::template dot<0, 4, 6>();
        Unit::template zero<1>();
        Unit::template load<7>(k + kTile, 64);
        Unit::template dot<1, 4, 7>();
        if constexpr (steps > 1) {
            Unit::template zero<2>();
            Unit::template load<6>(k + 2 * kTile, 64);
            Unit::template dot<2, 4, 6>();
            Unit::template zero<3>();
            Unit::template load<7>(k + 3 * kTile, 64);
            Unit::template dot<3, 4, 7>();
        }
    }
    template <int steps>
    IMAGEN_INLINE void store_logits(int u, const Memory& m) const {
        float* out = m.logits[u % 2];
        Unit::template store<0>(out, 4 * kTokens);
        Unit::template store<1>(out + 16, 4 * kTokens);
        if constexpr (steps > 1) {
            Unit::template store<2>(out + 32, 4 * kTokens);
            Unit::template store<3>(out + 48, 4 * kTokens);
        }
    }

    // Four rows of tile u.
    template <int steps>
    IMAGEN_INLINE void exponentials(int u, int row, const Memory& m) const {
        const float* in = m.logits[u % 2] + row * kTokens;
        Scalar* out = m.exponentials[u % 2] + row * kTokens;
        for (int i = 0; i < 4 * kTokens; i += kTokens) {
            for (int j = i; j < i + 32 * steps; j += 32) {
                S::store(out + j, exp2_within<S>(S::load(in + j)),
                         exp2_within<S>(S::load(in + j + 16)));
            }
        }
    }

    // Exponentials · (values, ones)
    template <int steps>
    IMAGEN_INLINE void weigh(int u, const Memory& m) const {
        const Scalar* p = m.exponentials[u % 2];
        const Scalar* v = m.v + u / (2 * steps) * kTokens * d;
        Unit::template zero<0>();
        Unit::template load<4>(p, 2 * kTokens);
        Unit::template load<6>(v, 64);
        Unit::template dot<0, 4, 6>();
        Unit::template zero<1>();
        Unit::template load<7>(v + 2 * kTile, 64);
        Unit::template dot<1, 4, 7>();
        Unit::template zero<2>();
        Unit::template load<6>(m.ones, 64);
        Unit::template dot<2, 4, 6>();
        if constexpr (steps > 1) {
            Unit::template load<5>(p + 32, 2 * kTokens);
            Unit::template load<7>(v + kTile, 64);
            Unit::template dot<0, 5, 7>();
            Unit::template load<6>(v + 3 * kTile, 64);
            Unit::template dot<1, 5, 6>();
            Unit::template load<7>(m.ones + kTile, 64);
            Unit::template dot<2, 5, 7>();
        }
    }
    IMAGEN_INLINE void store_sums(const Memory& m) const {
        Unit::template store<0>(m.sums, 64);
        Unit::template store<1>(m.sums + 256, 64);
        Unit::template store<2>(m.sums + 512, 64);
    }

    template <int steps>
    IMAGEN_INLINE void divide(int u, const Memory& m) const {
        const float* in = m.sums;
        Scalar* out = m.attended + u % (2 * steps) * 16 * channels_ + u / (2 * steps) * d;
        for (int i = 0; i < 16; ++i, in += 16, out += channels_) {
            const Vec inverse = S::reciprocal(S::load(in + 512));
            S::store(out, S::mul(S::load(in), inverse), S::mul(S::load(in + 256), inverse));
        }
    }

    // out = x + attended · proj + also, finished one multiplication later.
    template <int steps>
    void project(const Args& args, const Window& window, const Memory& m) const {
        const int jobs = channels_ / 32 * steps;
        for (int i = 0; i <= jobs; ++i) {
            if (i < jobs) {
                multiply(m.attended + i % steps * 32 * channels_,
                         proj_.panels.data + i / steps * 32 * channels_);
            }
            if (i > 0) {
                scatter(args, window, (i - 1) % steps * 32, (i - 1) / steps * 32,
                        m.products[(i - 1) % 2]);
            }
            if (i < jobs) {
                store(m.products[i % 2]);
            }
        }
    }

    // Tokens first to first + 31, channels c to c + 31.
    void scatter(const Args& args, const Window& window, int first, int c,
                 const float* result) const {
        const int wide = window.x.end - window.x.begin, all = window.tokens();
        const int end = first + 32 < all ? first + 32 : all;
        int y = window.y.begin + first / wide, x = window.x.begin + first % wide;
        for (int t = first; t < end; ++t, result += 32) {
            const Scalar* in = args.x.at<Scalar>(window.n, y, x) + c;
            Vec low = S::add(S::load(in), S::load(result));
            Vec high = S::add(S::load(in + 16), S::load(result + 16));
            if (args.also.data) {
                const Scalar* also = args.also.at<Scalar>(window.n, y, x) + c;
                low = S::add(low, S::load(also));
                high = S::add(high, S::load(also + 16));
            }
            S::store(args.out.at<Scalar>(window.n, y, x) + c, low, high);
            if (++x == window.x.end) {
                x = window.x.begin;
                ++y;
            }
        }
    }

    // What a logit is multiplied by, with log₂e: exponentials are powers of 2.
    static float scale(const Attention& a, int h) {
        return a.temperature[h] * kLog2e / std::sqrt(static_cast<float>(d));
    }
    static bool bounded(const Attention& a) {
        for (int h = 0; h < a.channels / d; ++h) {
            if (!(std::fabs(scale(a, h)) * d < AttentionCore<S>::kBound)) {
                return false;
            }
        }
        return true;
    }

    Windows windows_;
    int channels_, heads_;
    Matrix<S> q_, v_, proj_;
    Buffer k_, scale_, position_;
};

template <class Unit>
Op* new_window_attention(const Attention& a, const Amx<Unit>&) {
    if (AmxWindowAttention<Unit>::fits(a)) {
        return new AmxWindowAttention<Unit>(a);
    }
    return new WindowAttention<Amx<Unit>>(a);
}

}  // namespace imagen_fast::cpu
