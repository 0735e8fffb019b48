// Elements of planes in other places: what no product needs, only another order.
#pragma once

#include <cstring>

#include "border.h"
#include "buffer.h"
#include "gemm.h"
#include "op.h"

namespace imagen_fast::cpu {

// Block: one row of one image of the result, in all of them.
template <class S>
class Rearrange final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Rearrange(const int* order, int elements) : runs_(elements * sizeof(Run)) {
        for (int i = 0; i < elements; ++i) {
            const bool zero = order[i] < 0;
            Run* last = count_ ? &run(count_ - 1) : nullptr;
            if (last && zero == (last->from < 0) && (zero || order[i] == last->from + last->length)) {
                ++last->length;
            } else {
                run(count_++) = {i, zero ? -1 : order[i], 1};
            }
        }
    }

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const Scalar* in = args.x.at<Scalar>(n, y, 0);
        Scalar* out = args.out.at<Scalar>(n, y, 0);
        for (int i = 0; i < count_; ++i) {
            const Run& r = run(i);
            const auto each = [&](auto copy) {
                const Scalar* from = in + (r.from < 0 ? 0 : r.from);
                Scalar* to = out + r.to;
                for (int x = 0; x < args.out.width; ++x, from += args.x.pixel, to += args.out.pixel) {
                    copy(from, to);
                }
            };
            if (r.from < 0) {
                each([&](const Scalar*, Scalar* to) { std::memset(to, 0, r.length * sizeof(Scalar)); });
            } else if (r.length == kTogether) {
                each([](const Scalar* from, Scalar* to) { copy(from, to, kTogether); });
            } else {
                each([&](const Scalar* from, Scalar* to) { copy(from, to, r.length); });
            }
        }
    }

private:
    static constexpr int kTogether = 16;
    struct Run {
        int to, from, length;  // from: -1 for zeros
    };

    static IMAGEN_INLINE void copy(const Scalar* from, Scalar* to, int length) {
        for (; length >= kTogether; length -= kTogether, from += kTogether, to += kTogether) {
            std::memcpy(to, from, kTogether * sizeof(Scalar));  // so long that compilers inline it
        }
        for (int i = 0; i < length; ++i) {
            to[i] = from[i];
        }
    }
    Run& run(int i) const { return static_cast<Run*>(runs_.data())[i]; }

    Buffer runs_;
    int count_ = 0;
};

// Channel (c, dy, dx) of a pixel → channel c of the pixel at (dy, dx) within factor² pixels.
template <class S>
class PixelShuffle final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    PixelShuffle(int channels, int factor) : channels_(channels), factor_(factor) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        for (int x = 0; x < args.out.width; ++x) {
            const int place = y % factor_ * factor_ + x % factor_;
            const Scalar* in = args.x.at<Scalar>(n, y / factor_, x / factor_) + place;
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = c < channels_ ? in[c * factor_ * factor_] : Scalar{};
            }
        }
    }

private:
    int channels_, factor_;
};

// Channel c of the pixel at (dy, dx) within factor² pixels → channel (c, dy, dx); zeros beyond x.
template <class S>
class PixelUnshuffle final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    PixelUnshuffle(int channels, int factor) : channels_(channels), factor_(factor) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const int square = factor_ * factor_;
        for (int x = 0; x < args.out.width; ++x) {
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int i = channels_ * square; i < args.out.channels; ++i) {
                out[i] = Scalar{};
            }
            for (int place = 0; place < square; ++place) {
                const int row = y * factor_ + place / factor_, column = x * factor_ + place % factor_;
                const bool within = row < args.x.height && column < args.x.width;
                const Scalar* in = args.x.at<Scalar>(n, within ? row : 0, within ? column : 0);
                for (int c = 0; c < channels_; ++c) {
                    out[c * square + place] = within ? in[c] : Scalar{};
                }
            }
        }
    }

private:
    int channels_, factor_;
};

// Pixel (y, x) is pixel (y + shift, x + shift) of x, or what stands for that beyond its border.
template <class S>
class Place final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Place(int shift, Padding padding) : shift_(shift), padding_(padding) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const int row = Extent::rows(args.x).stand_in(y + shift_, padding_);
        for (int x = 0; x < args.out.width; ++x) {
            const int column = Extent::columns(args.x).stand_in(x + shift_, padding_);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            const bool zero = row == kNothing || column == kNothing;
            const Scalar* in = args.x.at<Scalar>(n, zero ? 0 : row, zero ? 0 : column);
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = zero ? Scalar{} : in[c];
            }
        }
    }

private:
    int shift_;
    Padding padding_;
};

// Between two pixels along each axis: the share of the second.
struct Between {
    int first, second;
    float share;
};

// Block: one row of one image of the result, in both.
template <class S>
class Interpolated : public RowOp {
public:

protected:
    using Scalar = typename S::Scalar;
    using Vec = typename S::Vec;

    template <class At>
    static void row(int n, int y, const Args& args, At at) {
        const Between down = at(y, args.x.height);
        for (int x = 0; x < args.out.width; ++x) {
            const Between across = at(x, args.x.width);
            const Scalar* corner[4] = {args.x.at<Scalar>(n, down.first, across.first),
                                       args.x.at<Scalar>(n, down.first, across.second),
                                       args.x.at<Scalar>(n, down.second, across.first),
                                       args.x.at<Scalar>(n, down.second, across.second)};
            const Vec right = S::set(across.share), left = S::set(1 - across.share);
            const Vec low = S::set(down.share), high = S::set(1 - down.share);
            const auto mixed = [&](int c) {
                const Vec above =
                    S::fma(S::load(corner[0] + c), left, S::mul(S::load(corner[1] + c), right));
                const Vec below =
                    S::fma(S::load(corner[2] + c), left, S::mul(S::load(corner[3] + c), right));
                return S::fma(above, high, S::mul(below, low));
            };
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < args.out.channels; c += 2 * S::lanes) {
                put<S>(out + c, mixed(c), mixed(c + S::lanes), args.out.streamed);
            }
        }
    }
};

template <class S>
class Bilinear final : public Interpolated<S> {
public:
    explicit Bilinear(int factor) : factor_(factor) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        this->row(n, y, args, [&](int i, int size) -> Between {
            const float place =
                (static_cast<float>(i) + 0.5f) / static_cast<float>(factor_) - 0.5f;
            const float within = place > 0 ? place : 0;
            const int first = static_cast<int>(within);
            return {first, first + 1 < size ? first + 1 : first,
                    within - static_cast<float>(first)};
        });
    }

private:
    int factor_;
};

// Means of 2×2 pixels; an odd last row or column counts twice.
template <class S>
class HalvePlane final : public Interpolated<S> {
public:
    void run_row(int n, int y, const Args& args, std::byte*) const override {
        this->row(n, y, args, [](int i, int size) -> Between {
            return {2 * i, 2 * i + 1 < size ? 2 * i + 1 : 2 * i, 0.5f};
        });
    }
};

template <class S>
class Nearest final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    explicit Nearest(int factor) : factor_(factor) {}

    void run_row(int n, int y, const Args& args, std::byte*) const override {
        const Scalar* in = args.x.at<Scalar>(n, y / factor_, 0);
        Scalar* out = args.out.at<Scalar>(n, y, 0);
        for (int x = 0; x < args.out.width; ++x, out += args.out.pixel) {
            const Scalar* from = in + static_cast<std::ptrdiff_t>(x / factor_) * args.x.pixel;
            for (int c = 0; c < args.out.channels; ++c) {
                out[c] = from[c];
            }
        }
    }

private:
    int factor_;
};

}  // namespace imagen_fast::cpu
