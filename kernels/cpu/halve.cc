#include "halve.h"

namespace imagen_fast::cpu {

Op* KernelSet::halve(int channels) const { return new Halve(channels); }

void Halve::run_row(int n, int y, const Args& args, std::byte*) const {
    const int h = args.x.height, w = args.x.width, half = args.out.width;
    const std::ptrdiff_t row = std::ptrdiff_t{w} * channels_;
    const float* first =
        static_cast<const float*>(args.image) + (std::ptrdiff_t{n} * h + 2 * y) * row;
    const float* second = 2 * y + 1 < h ? first + row : first;
    float* out = static_cast<float*>(args.picture) +
                 (std::ptrdiff_t{n} * args.out.height + y) * half * channels_;
    for (int x = 0; x < half; ++x) {
        const int left = 2 * x * channels_, right = 2 * x + 1 < w ? left + channels_ : left;
        for (int c = 0; c < channels_; ++c) {
            *out++ = (first[left + c] + first[right + c] + second[left + c] + second[right + c]) / 4;
        }
    }
}

}  // namespace imagen_fast::cpu
