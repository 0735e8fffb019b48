// Operands of `gemm` (../cpu/gemm.h) made of results: A row by row, B in panels.
//
// Between the two lies a transposition of words, a word being S::depth elements: a matrix's rows as
// words, transposed, are the panels of the transposed matrix, and its panels, transposed, are the
// rows of that. So products of transposed matrices cost no pass over single elements.
#pragma once

#include <type_traits>

#include "../cpu/gemm.h"

namespace imagen_fast::cpu {

// B (k, n), written here; k and n are multiples of 2 · S::lanes.
template <class S>
struct Right {
    using Scalar = typename S::Scalar;
    Scalar* data;
    Panels<S> panels;
    int k, n;

    IMAGEN_INLINE Right(Scalar* memory, int k, int n) : data(memory), k(k), n(n) {
        int columns = 1;
        if constexpr (S::max_columns > 1) {
            // As wide as possible without columns that nobody fills.
            for (columns = S::max_columns; n / S::lanes % columns;) {
                --columns;
            }
        }
        panels = {memory, columns, n / S::lanes / columns,
                  static_cast<std::ptrdiff_t>(k) * columns * S::lanes};
    }

    std::ptrdiff_t elements() const { return static_cast<std::ptrdiff_t>(k) * n; }
    // From one row of words to the next, in elements.
    IMAGEN_INLINE int row() const { return wide() * S::depth; }
    // i and j are not negative, and divisions by what is known are shifts.
    IMAGEN_INLINE Scalar* at(unsigned i, unsigned j) const {
        return data + j / wide() * panels.size + i / S::depth * row() + j % wide() * S::depth;
    }

    IMAGEN_INLINE unsigned wide() const {
        return S::max_columns > 1 ? panels.columns * S::lanes : S::lanes;
    }
    void set(int i, int j, float value) const { at(i, j)[i % S::depth] = S::scalar(value); }
    // A vector each of rows i and i + 1, from column j on; i is even.
    IMAGEN_INLINE void put(unsigned i, unsigned j, typename S::Vec a, typename S::Vec b) const {
        if constexpr (S::depth == 2) {
            S::store_pairs(at(i, j), a, b);
        } else {
            S::store(at(i, j), a);
            S::store(at(i + 1, j), b);
        }
    }
    IMAGEN_INLINE void put(unsigned i, unsigned j, const Scalar* a, const Scalar* b) const {
        if constexpr (S::depth == 2) {
            S::store_pairs(at(i, j), a, b);
        } else {
            put(i, j, S::load(a), S::load(b));
        }
    }

    // B = rows (k, n) of floats or scalars, `stride` apart.
    template <class Element>
    IMAGEN_INLINE void fill(const Element* rows, std::ptrdiff_t stride) const {
        fill(rows, stride, 0, k);
    }
    // The same of rows first to first + count - 1 of B; both are even.
    template <class Element>
    IMAGEN_INLINE void fill(const Element* rows, std::ptrdiff_t stride, int first,
                            int count) const {
        for (int i = 0; i < count; i += 2) {
            for (int j = 0; j < n; j += S::lanes) {
                const Element* from = rows + i * stride + j;
                if constexpr (std::is_same_v<Element, Scalar>) {
                    put(first + i, j, from, from + stride);
                } else {
                    put(first + i, j, S::load(from), S::load(from + stride));
                }
            }
        }
    }
    // B = rowsᵀ, rows (n, k) being `stride` apart.
    IMAGEN_INLINE void fill_transposed(const Scalar* rows, std::ptrdiff_t stride) const {
        for (int j = 0; j < n; j += S::lanes) {
            for (int i = 0; i < k; i += S::lanes * S::depth) {
                S::transpose(rows + j * stride + i, stride, at(i, j), row());
            }
        }
    }
    // rows (n, k), `stride` apart, = Bᵀ
    IMAGEN_INLINE void transpose(Scalar* rows, std::ptrdiff_t stride) const {
        for (int j = 0; j < n; j += S::lanes) {
            for (int i = 0; i < k; i += S::lanes * S::depth) {
                S::transpose(at(i, j), row(), rows + j * stride + i, stride);
            }
        }
    }
};

// rows (count, n) as scalars; n a multiple of 2 · S::lanes.
template <class S>
IMAGEN_INLINE void round_rows(const float* rows, std::ptrdiff_t stride, int count, int n,
                              typename S::Scalar* out, std::ptrdiff_t out_stride) {
    for (int i = 0; i < count; ++i) {
        for (int j = 0; j < n; j += 2 * S::lanes) {
            const float* from = rows + i * stride + j;
            S::store(out + i * out_stride + j, S::load(from), S::load(from + S::lanes));
        }
    }
}

}  // namespace imagen_fast::cpu
