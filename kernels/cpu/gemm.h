// C = A · B + bias, the inner loop of every kernel here.
//
// A is read where it lies: row i starts `stride` elements after row i - 1, so a row of pixels is a
// matrix whose rows overlap, and a 3×3 convolution is the sum over three segments (the image rows
// above, at and below) of rows 3·C long. B is packed once into panels as wide as the register tile.
#pragma once

#include <cstddef>

#include "buffer.h"
#include "force_inline.h"

namespace imagen_fast::cpu {

// Two vectors into a plane, past the caches or not.
template <class S>
IMAGEN_INLINE void put(typename S::Scalar* p, typename S::Vec a, typename S::Vec b,
                       bool streamed) {
    if (streamed) {
        S::stream(p, a, b);
    } else {
        S::store(p, a, b);
    }
}

constexpr int kMostSegments = 31;  // rows of the largest kernel

// The rows of A: `segments` runs of k elements each, read one after the other.
template <class S>
struct Rows {
    const typename S::Scalar* segment[kMostSegments];
    int segments;
    int k;                  // a multiple of S::depth
    std::ptrdiff_t stride;  // from row to row, in elements
    int count;
};

// B as (panels, K / depth, columns · lanes, depth): what one register tile reads is contiguous.
template <class S>
struct Panels {
    const typename S::Scalar* data;
    int columns;  // vectors in a panel
    int count;
    std::ptrdiff_t size;  // elements of a panel

    // How n columns are cut: as few panels as the register tile allows, equally wide.
    static constexpr int count_for(int n) {
        return ((n + S::lanes - 1) / S::lanes + S::max_columns - 1) / S::max_columns;
    }
    static constexpr int columns_for(int n) {
        return ((n + S::lanes - 1) / S::lanes + count_for(n) - 1) / count_for(n);
    }
    static constexpr Panels shaped(const typename S::Scalar* data, int k, int n) {
        const int columns = columns_for(n);
        return {data, columns, count_for(n),
                static_cast<std::ptrdiff_t>(k) * columns * S::lanes};
    }
    constexpr int width() const { return columns * S::lanes * count; }  // n, padded
    constexpr std::ptrdiff_t elements() const { return size * count; }
};

// A packed matrix that lives as long as its operator.
template <class S>
struct Matrix {
    Buffer buffer;
    Panels<S> panels;

    // value(i, j) is B's element at row i < k, column j < n.
    template <class Value>
    Matrix(int k, int n, Value value) : panels(Panels<S>::shaped(nullptr, k, n)) {
        buffer = Buffer(panels.elements() * sizeof(typename S::Scalar));
        panels.data = static_cast<const typename S::Scalar*>(buffer.data());
        for (int j = 0; j < n; ++j) {
            for (int i = 0; i < k; ++i) {
                set(i, j, value(i, j));
            }
        }
    }

    void set(int i, int j, float value) {
        const int wide = panels.columns * S::lanes;
        static_cast<typename S::Scalar*>(buffer.data())
            [j / wide * panels.size +
             (static_cast<std::ptrdiff_t>(i / S::depth) * wide + j % wide) * S::depth +
             i % S::depth] = S::scalar(value);
    }
};

// Rows of A as a register tile's products read them: at(i, k) is element k of row i, and those along the
// sum with it, in all lanes.
template <class S, int rows, bool widens = S::widens>
class LeftRows {
public:
    static constexpr int most = 1 << 30;  // elements of a row

    IMAGEN_INLINE void read(const typename S::Scalar* p, std::ptrdiff_t stride, int) {
        p_ = p;
        stride_ = stride;
    }
    IMAGEN_INLINE typename S::Pack at(int i, int k) const {
        return S::broadcast(p_ + i * stride_ + k);
    }

private:
    const typename S::Scalar* p_;
    std::ptrdiff_t stride_;
};

// The same as floats, in the first cache.
template <class S, int rows>
class LeftRows<S, rows, true> {
public:
    static constexpr int most = 256;

    IMAGEN_INLINE void read(const typename S::Scalar* p, std::ptrdiff_t stride, int count) {
        for (int i = 0; i < rows; ++i) {
            S::widen(p + i * stride, count, values_[i]);
        }
    }
    IMAGEN_INLINE typename S::Pack at(int i, int k) const { return S::broadcast(values_[i] + k); }

private:
    alignas(64) float values_[rows][most];
};

template <class S, int rows, int columns>
IMAGEN_INLINE void gemm_tile(const Rows<S>& a, std::ptrdiff_t first,
                             const typename S::Scalar* IMAGEN_RESTRICT b,
                             const float* IMAGEN_RESTRICT bias, float* IMAGEN_RESTRICT c,
                             std::ptrdiff_t c_row) {
    typename S::Vec sum[rows][columns];
    for (int j = 0; j < columns; ++j) {
        const typename S::Vec start = bias ? S::load(bias + j * S::lanes) : S::zero();
        for (int i = 0; i < rows; ++i) {
            sum[i][j] = start;
        }
    }
    LeftRows<S, rows> left;
    for (int segment = 0; segment < a.segments; ++segment) {
        const typename S::Scalar* IMAGEN_RESTRICT p = a.segment[segment] + first * a.stride;
        for (int start = 0; start < a.k; start += left.most) {
            const int count = a.k - start < left.most ? a.k - start : left.most;
            left.read(p + start, a.stride, count);
            for (int k = 0; k < count; k += S::depth) {
                typename S::Pack right[columns];
                for (int j = 0; j < columns; ++j) {
                    right[j] = S::load_pack(b + j * S::lanes * S::depth);
                }
                for (int i = 0; i < rows; ++i) {
                    const typename S::Pack one = left.at(i, k);
                    for (int j = 0; j < columns; ++j) {
                        sum[i][j] = S::dot(sum[i][j], one, right[j]);
                    }
                }
                b += columns * S::lanes * S::depth;
            }
        }
    }
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < columns; ++j) {
            S::store(c + i * c_row + j * S::lanes, sum[i][j]);
        }
    }
}

// The last rows, fewer than a full tile: exactly `left` of them.
template <class S, int rows, int columns>
void gemm_rest(const Rows<S>& a, int first, int left, const typename S::Scalar* b,
               const float* bias, float* c, std::ptrdiff_t c_row) {
    if constexpr (rows > 0) {
        if (left == rows) {
            gemm_tile<S, rows, columns>(a, first, b, bias, c, c_row);
        } else {
            gemm_rest<S, rows - 1, columns>(a, first, left, b, bias, c, c_row);
        }
    }
}

template <class S, int columns>
void gemm_columns(const Rows<S>& a, const Panels<S>& b, const float* bias, float* c,
                  std::ptrdiff_t c_row) {
    constexpr int rows = S::tile_rows(columns);
    for (int panel = 0; panel < b.count; ++panel) {
        const typename S::Scalar* data = b.data + panel * b.size;
        const int column = panel * columns * S::lanes;
        const float* start = bias ? bias + column : nullptr;
        int i = 0;
        for (; i + rows <= a.count; i += rows) {
            gemm_tile<S, rows, columns>(a, i, data, start, c + i * c_row + column, c_row);
        }
        gemm_rest<S, rows - 1, columns>(a, i, a.count - i, data, start, c + i * c_row + column,
                                        c_row);
    }
}

// c (a.count, b.width()) with rows c_row apart; bias (b.width()) or null.
template <class S>
void gemm(const Rows<S>& a, const Panels<S>& b, const float* bias, float* c,
          std::ptrdiff_t c_row) {
    if constexpr (S::max_columns >= 4) {
        if (b.columns == 4) {
            return gemm_columns<S, 4>(a, b, bias, c, c_row);
        }
        if (b.columns == 3) {
            return gemm_columns<S, 3>(a, b, bias, c, c_row);
        }
    }
    if (b.columns == 2) {
        return gemm_columns<S, 2>(a, b, bias, c, c_row);
    }
    gemm_columns<S, 1>(a, b, bias, c, c_row);
}

}  // namespace imagen_fast::cpu
