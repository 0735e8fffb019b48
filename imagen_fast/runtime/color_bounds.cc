#include "color_bounds.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "in_parts.h"
#include "typed.h"

namespace imagen_fast {

namespace {

constexpr int kReach = 2, kRows = 2 * kReach + 1;  // input pixels
constexpr int kPart = 32;                          // input pixels that are looked at together

// Samples lie as in memory, red, green and blue in turn, in `Number`s in which differences fit.
// Differences lie likewise: red - green, green - blue, and one that is not bounded.
template <class T>
struct Level;

template <>
struct Level<std::uint8_t> {
    using Number = std::int16_t;
    static constexpr Number top = 255, unbounded = 20000;
    static Number beyond(Number range) {
        return range < 16 ? static_cast<Number>(range * range / 2) : unbounded;
    }
    static Number third(Number sum) { return static_cast<Number>((sum + 1 + 3 * 1024) / 3 - 1024); }
};

template <>
struct Level<float> {
    using Number = float;
    static constexpr Number top = 1, unbounded = 1e4f;
    static Number beyond(Number range) {
        return range * 255.0f < 16.0f ? range * range * 127.5f : unbounded;
    }
    static Number third(Number sum) { return sum / 3.0f; }
};

template <class T>
constexpr typename Level<T>::Number kFar = Level<T>::unbounded / 2;  // no sample is

template <class Number>
Number clamped(Number x, Number low, Number high) {
    return std::min(std::max(x, low), high);
}

// Loops of their own, over memory that does not overlap, so that compilers use vectors.

template <class Number>
void extend(std::size_t count, const Number* __restrict from, Number* __restrict least,
            Number* __restrict most) {
    for (std::size_t i = 0; i < count; ++i) {
        least[i] = from[i] < least[i] ? from[i] : least[i];
        most[i] = from[i] > most[i] ? from[i] : most[i];
    }
}

// Of each number and those up to kReach pixels before and behind it.
template <class T, class Number>
void widen(std::size_t count, const Number* __restrict least, const Number* __restrict most,
           Number* __restrict low, Number* __restrict high) {
    for (std::size_t i = 0; i < count; ++i) {
        Number lo = least[i], hi = most[i];
        for (std::size_t k = 1; k <= 2 * kReach; ++k) {
            lo = least[i + 3 * k] < lo ? least[i + 3 * k] : lo;
            hi = most[i + 3 * k] > hi ? most[i + 3 * k] : hi;
        }
        const Number beyond = Level<T>::beyond(static_cast<Number>(hi - lo));
        low[i] = static_cast<Number>(lo - beyond);
        high[i] = static_cast<Number>(hi + beyond);
    }
}

// By how much samples, or differences to the next, are out of bounds at most; the last sample has
// no next.
template <class T, class Number>
Number excess(std::size_t count, const T* __restrict part, const Number* __restrict low,
              const Number* __restrict high, const Number* __restrict least,
              const Number* __restrict most) {
    Number worst = 0;
    for (std::size_t i = 0; i + 1 < count; ++i) {
        const Number here = part[i], next = part[i + 1];
        const auto difference = static_cast<Number>(here - next);
        const auto under = static_cast<Number>(low[i] - here),
                   over = static_cast<Number>(here - high[i]),
                   less = static_cast<Number>(least[i] - difference),
                   more = static_cast<Number>(difference - most[i]);
        const Number sample = under > over ? under : over, tint = less > more ? less : more;
        const Number worse = sample > tint ? sample : tint;
        worst = worse > worst ? worse : worst;
    }
    const Number last = part[count - 1];
    return std::max({worst, static_cast<Number>(low[count - 1] - last),
                     static_cast<Number>(last - high[count - 1])});
}

// The bounds of one kind of number, of a row of input pixels.
template <class T>
class Bounds {
public:
    using Number = typename Level<T>::Number;

    explicit Bounds(int width) : count_(3 * width), low(count_ + 1), high(count_ + 1) {
        for (auto& row : rows_) {
            row.resize(count_);
        }
        least_.resize(count_ + 2 * kPad);
        most_.resize(count_ + 2 * kPad);
    }

    Number* row(int y) { return rows_[static_cast<std::size_t>(y % kRows)].data(); }

    // From the rows `top` to `bottom`, which are there.
    void find(int top, int bottom) {
        // Beyond the border nothing is less, and nothing more.
        std::fill(least_.begin(), least_.end(), Level<T>::unbounded);
        std::fill(most_.begin(), most_.end(), static_cast<Number>(-Level<T>::unbounded));
        for (int y = top; y <= bottom; ++y) {
            extend(count_, row(y), least_.data() + kPad, most_.data() + kPad);
        }
        widen<T>(count_, least_.data(), most_.data(), low.data(), high.data());
    }

private:
    static constexpr std::size_t kPad = 3 * kReach;

    const std::size_t count_;
    std::array<std::vector<Number>, kRows> rows_;
    std::vector<Number> least_, most_;

public:
    std::vector<Number> low, high;
};

template <class T>
class Worker {
public:
    using Number = typename Level<T>::Number;

    Worker(int height, int width, int scale, const T* in, T* out)
        : height_(height), width_(width), scale_(scale), in_(in), out_(out), samples_(width),
          differences_(width) {
        for (auto& wide : wide_) {
            wide.resize(std::size_t{3} * kPart * scale + 1);
        }
    }

    // The output of the input's rows from `start` to `stop`.
    void run(int start, int stop) {
        int read = std::max(start - kReach, 0);
        for (int y = start; y < stop; ++y) {
            const int bottom = std::min(y + kReach, height_ - 1);
            for (; read <= bottom; ++read) {
                this->read(read);
            }
            samples_.find(std::max(y - kReach, 0), bottom);
            differences_.find(std::max(y - kReach, 0), bottom);
            for (std::size_t i = 2; i < std::size_t{3} * width_; i += 3) {
                differences_.low[i] = -Level<T>::unbounded;
                differences_.high[i] = Level<T>::unbounded;
            }
            for (int x = 0; x < width_; x += kPart) {
                bound(y, x, std::min(kPart, width_ - x));
            }
        }
    }

private:
    void read(int y) {
        const T* from = in_ + std::size_t{3} * width_ * y;
        Number *to = samples_.row(y), *difference = differences_.row(y);
        const std::size_t last = std::size_t{3} * width_ - 1;
        for (std::size_t i = 0; i <= last; ++i) {
            to[i] = from[i];
        }
        for (std::size_t i = 0; i < last; ++i) {
            difference[i] = static_cast<Number>(to[i] - to[i + 1]);
        }
        difference[last] = 0;
    }

    void bound(int y, int x, int width) {
        const std::size_t first = std::size_t{3} * x, count = std::size_t{3} * width;
        const std::array<const Number*, 4> narrow = {
            samples_.low.data() + first, samples_.high.data() + first,
            differences_.low.data() + first, differences_.high.data() + first};
        bool bounded = false;
        for (std::size_t i = 0; i < count; ++i) {
            bounded |= (narrow[1][i] < kFar<T>) | (narrow[3][i] < kFar<T>);
        }
        if (!bounded) {
            return;
        }
        for (std::size_t kind = 0; kind < narrow.size(); ++kind) {
            Number* to = wide_[kind].data();
            for (std::size_t i = 0; i < count; i += 3) {
                for (int k = 0; k < scale_; ++k, to += 3) {
                    std::copy_n(narrow[kind] + i, 4, to);  // one more than there are: one move
                }
            }
        }
        const std::size_t row = std::size_t{3} * scale_ * width_;
        T* part = out_ + row * scale_ * y + std::size_t{3} * scale_ * x;
        for (int k = 0; k < scale_; ++k, part += row) {
            if (excess(count * scale_, part, wide_[0].data(), wide_[1].data(), wide_[2].data(),
                       wide_[3].data()) > 0) {
                move(part, count * scale_);
            }
        }
    }

    void move(T* part, std::size_t count) const {
        const Number *low = wide_[0].data(), *high = wide_[1].data(), *least = wide_[2].data(),
                     *most = wide_[3].data();
        for (std::size_t i = 0; i < count; i += 3) {
            Number red = part[i], green = part[i + 1], blue = part[i + 2];
            const auto upper = static_cast<Number>(red - green),
                       lower = static_cast<Number>(green - blue);
            const Number a = clamped(upper, least[i], most[i]),
                         b = clamped(lower, least[i + 1], most[i + 1]);
            if (a != upper || b != lower) {
                const auto sum = static_cast<Number>(red + green + blue);
                green = Level<T>::third(static_cast<Number>(static_cast<Number>(sum - a) + b));
                red = static_cast<Number>(green + a);
                blue = static_cast<Number>(green - b);
            }
            part[i] = sample(red, low[i], high[i]);
            part[i + 1] = sample(green, low[i + 1], high[i + 1]);
            part[i + 2] = sample(blue, low[i + 2], high[i + 2]);
        }
    }

    static T sample(Number x, Number low, Number high) {
        return static_cast<T>(clamped(clamped(x, low, high), Number(0), Level<T>::top));
    }

    const int height_, width_, scale_;
    const T* const in_;
    T* const out_;
    Bounds<T> samples_, differences_;
    std::array<std::vector<Number>, 4> wide_;  // bounds of a part, for each of its output pixels
};

template <class T>
void bound(const Shape& shape, int scale, const T* in, T* out, int threads) {
    const std::size_t pixels = static_cast<std::size_t>(shape.height) * shape.width;
    const std::size_t large = pixels * scale * scale;
    const int parts = parts_of(shape.height, large, threads);
    for (int n = 0; n < shape.images; ++n, in += 3 * pixels, out += 3 * large) {
        std::vector<Worker<T>> workers(
            parts, Worker<T>(shape.height, shape.width, scale, in, out));
        in_parts(shape.height, parts, [&](int part, int from, int to) {
            workers[static_cast<std::size_t>(part)].run(from, to);
        });
    }
}

}  // namespace

void bound_colors(const Shape& shape, int scale, const void* in, void* out, bool bytes,
                  int threads) {
    typed(in, out, bytes, [&](auto* from, auto* to) { bound(shape, scale, from, to, threads); });
}

}  // namespace imagen_fast
