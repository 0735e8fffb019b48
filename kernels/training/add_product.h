// c += A · B, for sums over more than fits the caches at once.
#pragma once

#include "../cpu/gemm.h"

namespace imagen_fast::cpu {

// c (a.count, b.width()) with rows c_row apart. products: room for as many, rows in whole tiles.
template <class S>
IMAGEN_INLINE void add_product(const Rows<S>& a, const Panels<S>& b, float* products, float* c,
                               std::ptrdiff_t c_row) {
    gemm(a, b, nullptr, products, b.width());
    for (int i = 0; i < a.count; ++i) {
        for (int j = 0; j < b.width(); j += S::lanes) {
            float* p = c + i * c_row + j;
            S::store(p, S::add(S::load(p), S::load(products + i * b.width() + j)));
        }
    }
}

}  // namespace imagen_fast::cpu
