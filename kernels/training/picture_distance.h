// Sums of |a - b| or of its squares, and how they change with a.
#pragma once

#include <cstddef>

#include "../cpu/force_inline.h"

namespace imagen_fast::cpu {

template <class S, bool squares>
double picture_distance(const float* a, const float* b, std::ptrdiff_t count) {
    using Vec = typename S::Vec;
    // Single precision for some thousands at a time, of which each is below 1, as a rule.
    constexpr std::ptrdiff_t kTogether = 4096;
    double all = 0;
    for (std::ptrdiff_t first = 0; first < count; first += kTogether) {
        const std::ptrdiff_t end = first + kTogether < count ? first + kTogether : count;
        Vec sums[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
        const auto add = [&](Vec difference, Vec& sum) {
            const Vec other = squares ? difference : S::sub(S::zero(), difference);
            sum = squares ? S::fma(difference, other, sum) : S::add(sum, S::max(difference, other));
        };
        std::ptrdiff_t i = first;
        for (; i + 4 * S::lanes <= end; i += 4 * S::lanes) {
            for (int j = 0; j < 4; ++j) {
                const std::ptrdiff_t at = i + j * S::lanes;
                add(S::sub(S::load(a + at), S::load(b + at)), sums[j]);
            }
        }
        for (; i < end; i += S::lanes) {
            const int left = end - i < S::lanes ? static_cast<int>(end - i) : S::lanes;
            add(S::sub(S::load_some(a + i, left), S::load_some(b + i, left)), sums[0]);
        }
        all += S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
    }
    return all;
}

// gradient = factor · (sign of a - b, or 2 (a - b))
template <class S, bool squares>
void picture_distance_gradient(const float* a, const float* b, std::ptrdiff_t count, float factor,
                               float* gradient) {
    using Vec = typename S::Vec;
    const Vec f = S::set(squares ? 2 * factor : factor), one = S::set(1.0f), minus = S::set(-1.0f);
    for (std::ptrdiff_t i = 0; i < count; i += S::lanes) {
        const int left = count - i < S::lanes ? static_cast<int>(count - i) : S::lanes;
        Vec d = S::sub(S::load_some(a + i, left), S::load_some(b + i, left));
        if constexpr (!squares) {  // differences of samples are 0 or at least 2^-50
            d = S::min(one, S::max(minus, S::mul(d, S::set(1e20f))));
        }
        S::store_some(gradient + i, S::mul(d, f), left);
    }
}

}  // namespace imagen_fast::cpu
