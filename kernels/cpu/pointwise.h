// 1×1 convolution.
#pragma once

#include "linear.h"
#include "op.h"

namespace imagen_fast::cpu {

template <class S>
class Pointwise final : public RowOp {
    using Scalar = typename S::Scalar;

public:
    Pointwise(const Convolution& conv, const Finish& finish)
        : runs_(conv),
          linear_(
              runs_.sum(), round_up(conv.out, kChannelMultiple),
              [&](int i, int j) {
                  const int c = conv.channel(runs_.element(i));
                  return c >= 0 && j < conv.out ? conv.weight[j * conv.in + c] : 0.0f;
              },
              [&](int j) { return j < conv.out ? conv.bias[j] : 0.0f; }),
          finisher_(finish, conv.out) {}

    std::size_t scratch(const Args&) const override { return linear_.scratch(); }

    void run_row(int n, int y, const Args& args, std::byte* scratch) const override {
        linear_.run_row(
            n, y, args, finisher_, scratch,
            [&](int x, int count) {
                args.prefetch_added<Scalar>(n, y, x, 1, count);
                return runs_.rows(args.x.at<Scalar>(n, y, x), args.x.pixel, count);
            });
    }

private:
    // Which elements of a pixel are summed over: runs of as many each, with a channel in all of their
    // parts. Where the channels lie otherwise, all elements.
    class Runs {
        static constexpr int kPart = S::row_multiple > 1 ? kChannelMultiple : kChannelMultiple / 2;

    public:
        explicit Runs(const Convolution& conv) : each_(conv.padded()) {
            const int parts = conv.padded() / kPart;
            int first[kMostSegments], length = 0, count = 0;
            for (int part = 0, begin = 0; part <= parts; ++part) {
                if (part < parts && used(conv, part * kPart)) {
                    continue;
                }
                if (part > begin) {
                    if (count == kMostSegments || (count && part - begin != length)) {
                        return;  // too many, or not alike
                    }
                    length = part - begin;
                    first[count++] = begin * kPart;
                }
                begin = part + 1;
            }
            if (!count) {
                return;
            }
            each_ = length * kPart;
            count_ = count;
            for (int i = 0; i < count; ++i) {
                first_[i] = first[i];
            }
        }

        int sum() const { return count_ * each_; }
        int element(int k) const { return first_[k / each_] + k % each_; }
        IMAGEN_INLINE Rows<S> rows(const Scalar* pixel, int stride, int count) const {
            Rows<S> rows{{}, count_, each_, stride, count};
            for (int i = 0; i < count_; ++i) {
                rows.segment[i] = pixel + first_[i];
            }
            return rows;
        }

    private:
        static bool used(const Convolution& conv, int first) {
            for (int i = 0; i < kPart; ++i) {
                if (conv.channel(first + i) >= 0) {
                    return true;
                }
            }
            return false;
        }

        int count_ = 1, each_;
        int first_[kMostSegments] = {};
    };

    Runs runs_;
    Linear<S> linear_;
    Finisher<S> finisher_;
};

}  // namespace imagen_fast::cpu
