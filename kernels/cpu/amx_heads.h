// The heads of window attention on the tile unit: softmax(q · k) · v, 16 queries at a time.
//
// A tile of queries, counted through all heads, passes logits, exponentials, weigh, divide. While
// its exponentials are computed the tile unit works for its neighbours, and as in amx_products.h
// sums stay in their tiles until the next products need these. A row's sum of exponentials is one
// more product, with ones.
#pragma once

#include <cstddef>

#include "amx_operands.h"

namespace imagen_fast::cpu {

// What the stage needs; q, k, v and factors of one head after the other.
struct AmxHeadsMemory {
    std::uint16_t *q, *k, *v;        // tiles: A (tokens, d), B (d, tokens), B (tokens, d)
    float* factors;                  // (tokens): of each query's logits
    std::uint16_t* ones;             // B (tokens, 16): 1 where there is a key
    float* logits[2];                // (16, tokens)
    std::uint16_t* exponentials[2];  // (16, tokens)
    float *weighed, *sums;           // (16, d), (16): exponentials · values and · ones
};

template <class S, int steps>
class AmxHeads {
    using Unit = typename S::Tiles;
    using Scalar = typename S::Scalar;
    static constexpr int d = AmxOperands<S>::d, kTile = AmxOperands<S>::kTile;
    static constexpr int kTokens = 32 * steps, kTiles = 2 * steps;  // of a head

public:
    AmxHeads(const AmxHeadsMemory& m, const AmxExponentials& exp2) : m_(m), exp2_(exp2) {}

    // out (tokens, heads · d)
    IMAGEN_INLINE void run(int heads, Scalar* out) const {
        const int tiles = heads * kTiles, row = heads * d;
        step<true, false, false, false>(-1, out, row);
        step<true, true, false, false>(0, out, row);
        if (tiles > 2) {
            step<true, true, true, false>(1, out, row);
            for (int i = 2; i < tiles - 1; ++i) {
                step<true, true, true, true>(i, out, row);
            }
            step<false, true, true, true>(tiles - 1, out, row);
        } else {
            step<false, true, true, false>(1, out, row);
        }
        step<false, false, true, true>(tiles, out, row);
        step<false, false, false, true>(tiles + 1, out, row);
    }

private:
    // Logits of tile i + 1 and sums of tile i - 1, beside exponentials of tile i and quotients of
    // tile i - 2: the last pass of a tile is also when its sums are stored.
    template <bool first, bool second, bool third, bool last>
    IMAGEN_INLINE void step(int i, Scalar* out, int row) const {
        if constexpr (first) {
            Unit::template load<4>(m_.q + (i + 1) * kTile, 64);
        }
        const Scalar* k = m_.k + (i + 1) / kTiles * kTokens * d;
        logits<first, second, last, 0>(i, k);
        logits<first, second, last, 1>(i, k);
        logits<first, second, last, 2>(i, k);
        logits<first, second, last, 3>(i, k);
        if constexpr (last) {
            S::store(m_.sums, S::reciprocal(S::load(m_.sums)));
            out += (i - 2) % kTiles * 16 * row + (i - 2) / kTiles * d;
        }
        if constexpr (third) {
            const Scalar* p = m_.exponentials[(i + 1) % 2];
            Unit::template load<4>(p, 2 * kTokens);
            if constexpr (steps > 1) {
                Unit::template load<5>(p + 32, 2 * kTokens);
            }
        }
        const Scalar* v = m_.v + (i - 1) / kTiles * kTokens * d;
        weigh<first, second, third, 0>(i, v);
        weigh<first, second, third, 1>(i, v + kTile);
        weigh<first, second, third, 2>(i, m_.ones);
        divide<last, 0>(out, row);
        weigh<first, second, third, 3>(i, v + 2 * kTile);
        weigh<first, second, third, 4>(i, v + 3 * kTile);
        divide<last, 8>(out, row);
        weigh<first, second, third, 5>(i, m_.ones + kTile);
    }

    // Tile j of the keys.
    template <bool first, bool second, bool last, int j>
    IMAGEN_INLINE void logits(int i, const Scalar* k) const {
        constexpr bool is = first && j < kTiles;
        if constexpr (is) {
            Unit::template load<6 + j % 2>(k + j * kTile, 64);
        }
        if constexpr (last && j < 2) {
            Unit::template store<j>(m_.weighed + 16 * j, 4 * d);
        }
        if constexpr (last && j == 2) {
            // The columns of the products with ones are equal. Rows of them are stored one element
            // apart, each over most of the one before: what stays is one sum each.
            Unit::template store<j>(m_.sums, 4);
        }
        if constexpr (is) {
            Unit::template zero<j>();
            Unit::template dot<j, 4, 6 + j % 2>();
        }
        exponentials<second, 2 * j>(i);
    }

    // Product j of 32 keys with 16 channels, or with ones.
    template <bool first, bool second, bool third, int j>
    IMAGEN_INLINE void weigh(int i, const Scalar* b) const {
        constexpr bool is = third && j < 3 * steps;
        if constexpr (is) {
            Unit::template load<6 + j % 2>(b, 64);
        }
        if constexpr (first && j < kTiles) {
            Unit::template store<j>(m_.logits[(i + 1) % 2] + 16 * j, 4 * kTokens);
        }
        if constexpr (is) {
            if constexpr (j < 3) {
                Unit::template zero<j>();
            }
            Unit::template dot<j % 3, 4 + j / 3, 6 + j % 2>();
        }
        if constexpr (j < 4) {
            exponentials<second, 8 + 2 * j>(i);
        }
    }

    // Rows `row` and row + 1.
    template <bool is, int row>
    IMAGEN_INLINE void exponentials(int i) const {
        if constexpr (is) {
            const float* in = m_.logits[i % 2];
            Scalar* out = m_.exponentials[i % 2];
            for (int r = row; r < row + 2; ++r) {
                const __m512 f = S::set(m_.factors[16 * i + r]);
                for (int t = r * kTokens; t < (r + 1) * kTokens; t += 32) {
                    exp2_(in + t, f, out + t);
                }
            }
        }
    }

    // Rows `from` to from + 7.
    template <bool is, int from>
    IMAGEN_INLINE void divide(Scalar* out, int row) const {
        if constexpr (is) {
            for (int r = from; r < from + 8; ++r) {
                const __m512 f = S::set(m_.sums[r]);
                S::store(out + r * row, S::mul(S::load(m_.weighed + r * d), f),
                         S::mul(S::load(m_.weighed + r * d + 16), f));
            }
        }
    }

    const AmxHeadsMemory& m_;
    const AmxExponentials& exp2_;
};

}  // namespace imagen_fast::cpu
