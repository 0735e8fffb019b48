// Window attention on a matrix unit: as window_attention.h, for the heads of 32 channels and the
// windows of at most 64 cells that the presets have.
//
// A tile of products costs 16 cycles, so everything around the products counts. Each result of the
// tile unit is worked on beside the next products, in pieces (amx_products.h); tiles of queries
// follow each other through the stages of softmax (amx_heads.h).
#pragma once

#include "amx_heads.h"
#include "amx_operands.h"
#include "amx_products.h"
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
    static constexpr int kWindows = 4;    // in a block
    static constexpr int kStep = 32 * d;  // elements of an operand for 32 tokens of a head

public:
    static bool fits(const Attention& a) {
        return a.temperature && !a.q_bias && !a.relu && a.residual && a.head_dim == d &&
               a.window * a.window <= kTokens && bounded(a);
    }

    explicit AmxWindowAttention(const Attention& a)
        : windows_{a.window, a.shift},
          channels_(a.channels),
          heads_(a.channels / d),
          q_(channels_, channels_, [&](int i, int j) { return a.q[j * channels_ + channel(i)]; }),
          k_(channels_, channels_, [&](int i, int j) { return a.kv[j * channels_ + channel(i)]; }),
          v_(channels_, channels_,
             [&](int i, int j) { return a.kv[(channels_ + j) * channels_ + channel(i)]; }),
          proj_(channels_, channels_, [&](int i, int j) { return a.proj[j * channels_ + i]; }),
          position_(a.window * a.window * channels_ * sizeof(float)),
          scale_(heads_ * sizeof(float)) {
        for (int h = 0; h < heads_; ++h) {
            static_cast<float*>(scale_.data())[h] = scale(a, h);
        }
        for (int i = 0; i < a.window * a.window * channels_; ++i) {
            static_cast<float*>(position_.data())[i] = a.position[channel(i)];
        }
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
        int counted = 0;
        for (int i = first; i < end; ++i) {
            const Window window = windows_.at(i, args.x);
            if (window.tokens() != counted) {
                counted = window.tokens();
                count(counted, m.heads.ones);
            }
            window.tokens() > 32 ? attend<2>(args, window, m) : attend<1>(args, window, m);
        }
    }

private:
    struct Memory {
        Scalar *x, *context;     // (tokens, C): pixels + position
        std::ptrdiff_t* pixels;  // (tokens): where they lie in a plane
        float* products[2];      // (32, 32)
        Scalar* attended;        // (tokens, C)
        AmxHeadsMemory heads;
    };

    Memory memory(Pieces& p) const {
        const int all = kTokens * channels_;
        Memory m;
        m.x = p.take<Scalar>(all);
        m.context = p.take<Scalar>(all);
        m.pixels = p.take<std::ptrdiff_t>(kTokens);
        m.products[0] = p.take<float>(32 * 32);
        m.products[1] = p.take<float>(32 * 32);
        m.attended = p.take<Scalar>(all);
        m.heads.q = p.take<Scalar>(all);
        m.heads.k = p.take<Scalar>(all);
        m.heads.v = p.take<Scalar>(all);
        m.heads.factors = p.take<float>(heads_ * kTokens);
        m.heads.ones = p.take<Scalar>(2 * kTile);
        for (int i = 0; i < 2; ++i) {
            m.heads.logits[i] = p.take<float>(16 * kTokens);
            m.heads.exponentials[i] = p.take<Scalar>(16 * kTokens);
        }
        m.heads.weighed = p.take<float>(16 * d);
        m.heads.sums = p.take<float>(32);
        return m;
    }

    // Where templates count steps: of 32 tokens.
    template <int steps>
    void attend(const Args& args, const Window& window, const Memory& m) const {
        locate(args.x, window, m.pixels);
        gather<steps>(args.x, window, m.x);
        const Scalar* context = m.x;
        if (args.other.data != args.x.data) {
            gather<steps>(args.other, window, m.context);
            context = m.context;
        }
        inputs<steps>(context, m);
        AmxHeads<S, steps>(m.heads, exp2_).run(heads_, m.attended);
        project<steps>(args, window, m);
    }

    static void locate(const Plane& plane, const Window& w, std::ptrdiff_t* pixels) {
        for (int y = w.y.begin; y < w.y.end; ++y) {
            const Scalar* row = plane.at<Scalar>(w.n, y, 0);
            const std::ptrdiff_t start = row - static_cast<const Scalar*>(plane.data);
            for (int x = w.x.begin; x < w.x.end; ++x) {
                *pixels++ = start + static_cast<std::ptrdiff_t>(x) * plane.channels;
            }
        }
    }

    // Which channel is the i-th of gathered tokens: of each 32, first the even ones.
    static constexpr int channel(int i) { return i / 32 * 32 + i % 16 * 2 + i % 32 / 16; }

    // Pixels + position → (tokens, C), zeros behind the last token.
    template <int steps>
    void gather(const Plane& plane, const Window& w, Scalar* out) const {
        for (int y = w.y.begin; y < w.y.end; ++y) {
            const Scalar* in = plane.at<Scalar>(w.n, y, w.x.begin);
            const float* position = static_cast<const float*>(position_.data()) +
                                    w.cell(y, w.x.begin) * channels_;
            const int row = (w.x.end - w.x.begin) * channels_;
            for (int i = 0; i < row; i += 32) {
                S::store(out + i, S::add(S::load_even(in + i), S::load(position + i)),
                         S::add(S::load_odd(in + i), S::load(position + i + 16)));
            }
            out += row;
        }
        for (int i = w.tokens() * channels_; i < 32 * steps * channels_; i += 32, out += 32) {
            S::store(out, S::zero(), S::zero());
        }
    }

    // In the order of values: pairs are tokens i and 16 + i of 32.
    static void count(int tokens, Scalar* ones) {
        for (int t = 0; t < kTokens; t += 32) {
            for (int i = t; i < t + 16; ++i, ones += 32) {
                S::store_pairs(ones, S::set(i < tokens ? 1.0f : 0.0f),
                               S::set(i + 16 < tokens ? 1.0f : 0.0f));
            }
        }
    }

    // Queries, keys and values of all heads. Each becomes an operand beside the products after the
    // next, which is when its own are stored.
    template <int steps>
    void inputs(const Scalar* context, const Memory& m) const {
        float *one = m.products[0], *other = m.products[1];
        AmxProducts<Unit> products(one, d);
        for (int i = 0; i < heads_ * steps; ++i) {
            const int at = i / steps * d * channels_, t = i % steps * 32;
            const auto multiply = [&](const Scalar* x, const Matrix<S>& w, float* out,
                                      auto&& beside) {
                products.multiply(x + t * channels_, w.panels.data + at, channels_, out, d, beside);
            };
            const typename Operands::Values values{other, m.heads.v + (i - 1) * kStep};
            typename Operands::Keys keys{one, m.heads.k + (i - 1) * kStep};
            if (i > 0) {
                multiply(m.x, q_, one, keys);
                multiply(context, k_, other, values);
            } else {
                multiply(m.x, q_, one, NothingBeside());
                multiply(context, k_, other, NothingBeside());
            }
            multiply(context, v_, one,
                     typename Operands::Queries{
                         one, static_cast<const float*>(scale_.data())[i / steps],
                         m.heads.q + i * kStep, m.heads.factors + 32 * i});
            float* const used = one;
            one = other;
            other = used;
        }
        products.finish();
        const int last = (heads_ * steps - 1) * kStep;
        every_piece(typename Operands::Keys{one, m.heads.k + last});
        every_piece(typename Operands::Values{other, m.heads.v + last});
    }

    // out = x + attended · proj + added, 32 tokens and channels beside the products after the next.
    template <int steps>
    void project(const Args& args, const Window& window, const Memory& m) const {
        AmxProducts<Unit> products(m.products[0], d);
        const int blocks = channels_ / 32 * steps;
        const auto finish = [&](int i) {
            return Scatter{args,         m.pixels,       window.tokens(),
                           i % steps * 32, i / steps * 32, m.products[i % 2]};
        };
        for (int i = 0; i < blocks; ++i) {
            const auto multiply = [&](auto&& beside) {
                products.multiply(m.attended + i % steps * 32 * channels_,
                                  proj_.panels.data + i / steps * 32 * channels_, channels_,
                                  m.products[i % 2], d, beside);
            };
            i > 1 ? multiply(finish(i - 2)) : multiply(NothingBeside());
        }
        products.finish();
        if (blocks > 1) {
            every_piece(finish(blocks - 2));
        }
        every_piece(finish(blocks - 1));
    }

    // Of tokens `first` to first + 31, channels c to c + 31.
    struct Scatter {
        const Args& args;
        const std::ptrdiff_t* pixels;  // where tokens lie in a plane
        int tokens, first, c;
        const float* products;

        template <int i>
        IMAGEN_INLINE void operator()(Constant<i>) const {
            const Scalar* x = static_cast<const Scalar*>(args.x.data) + c;
            Scalar* out = static_cast<Scalar*>(args.out.data) + c;
            for (int t = 4 * i; t < 4 * i + 4 && first + t < tokens; ++t) {
                const std::ptrdiff_t pixel = pixels[first + t];
                Vec low = S::add(S::load(x + pixel), S::load(products + t * d));
                Vec high = S::add(S::load(x + pixel + 16), S::load(products + t * d + 16));
                for (int j = 0; j < args.additions; ++j) {
                    const Scalar* added = static_cast<const Scalar*>(args.added[j].data) + c;
                    low = S::add(low, S::load(added + pixel));
                    high = S::add(high, S::load(added + pixel + 16));
                }
                S::store(out + pixel, low, high);
            }
        }
    };

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
    Matrix<S> q_, k_, v_, proj_;
    Buffer position_, scale_;
    AmxExponentials exp2_;
};

template <class Unit>
Op* new_window_attention(const Attention& a, const Amx<Unit>&) {
    if (AmxWindowAttention<Unit>::fits(a)) {
        return new AmxWindowAttention<Unit>(a);
    }
    return new WindowAttention<Amx<Unit>>(a);
}

}  // namespace imagen_fast::cpu
