// x + attention(x, other) + added over a whole image, or without x: first all keys, then all
// queries.
#pragma once

#include "attention.h"

namespace imagen_fast::cpu {

constexpr int kGlobalTokens = 64;  // in a block; a multiple of every set's lanes

// Tokens first to first + count - 1 of an image, row by row → (count, C)
template <class S>
void gather_tokens(const Plane& plane, int n, int first, int count, typename S::Scalar* out) {
    for (int t = first; t < first + count; ++t, out += plane.channels) {
        const auto* in =
            plane.at<typename S::Scalar>(n, t / plane.width, t % plane.width);
        for (int c = 0; c < plane.channels; c += S::lanes) {
            S::store(out + c, S::load(in + c));
        }
    }
}

template <class S>
class GlobalKeys final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit GlobalKeys(const Attention& a) : core_(a) {}

    std::size_t shared(const Args& args) const override {
        const Plane& other = args.other;
        return other.images * core_.keys_elements(other.height * other.width) * sizeof(Scalar);
    }
    int blocks(const Args& args) const override { return args.other.images * per_image(args); }
    std::size_t scratch(const Args&) const override {
        Pieces pieces(nullptr);
        pieces.take<Scalar>(kGlobalTokens * core_.channels());
        return pieces.used() + core_.project_keys_scratch(kGlobalTokens);
    }

    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / per_image(args), first = block % per_image(args) * kGlobalTokens;
        const int tokens = args.other.height * args.other.width;
        const int padded = AttentionCore<S>::padded(tokens);
        const int room = padded - first < kGlobalTokens ? padded - first : kGlobalTokens;
        const int left = tokens - first > 0 ? tokens - first : 0;
        const int count = left < room ? left : room;
        Pieces pieces(scratch);
        auto* rows = pieces.take<Scalar>(kGlobalTokens * core_.channels());
        gather_tokens<S>(args.other, n, first, count, rows);
        auto* memory = static_cast<Scalar*>(args.shared) + n * core_.keys_elements(tokens);
        core_.project_keys(rows, first, count, room, core_.keys(memory, tokens), pieces);
    }

private:
    static int per_image(const Args& args) {
        const int padded = AttentionCore<S>::padded(args.other.height * args.other.width);
        return (padded + kGlobalTokens - 1) / kGlobalTokens;
    }

    AttentionCore<S> core_;
};

template <class S>
class GlobalQueries final : public Op {
    using Scalar = typename S::Scalar;

public:
    explicit GlobalQueries(const Attention& a) : core_(a), residual_(a.residual) {}

    int blocks(const Args& args) const override { return args.x.images * per_image(args); }
    std::size_t scratch(const Args& args) const override {
        Pieces pieces(nullptr);
        pieces.take<Scalar>(kGlobalTokens * core_.channels());
        pieces.take<float>(kGlobalTokens * core_.result_width());
        return pieces.used() +
               core_.attend_scratch(kGlobalTokens, args.other.height * args.other.width);
    }

    void run(int block, const Args& args, std::byte* scratch) const override {
        const int n = block / per_image(args), first = block % per_image(args) * kGlobalTokens;
        const int left = args.x.height * args.x.width - first;
        const int count = left < kGlobalTokens ? left : kGlobalTokens;
        const int tokens = args.other.height * args.other.width, channels = core_.channels();
        Pieces pieces(scratch);
        auto* rows = pieces.take<Scalar>(kGlobalTokens * channels);
        auto* result = pieces.take<float>(kGlobalTokens * core_.result_width());
        gather_tokens<S>(args.x, n, first, count, rows);
        auto* memory = static_cast<Scalar*>(args.shared) + n * core_.keys_elements(tokens);
        core_.attend(rows, count, core_.keys(memory, tokens), result, pieces);
        for (int i = 0; i < count; ++i) {
            const int y = (first + i) / args.x.width, x = (first + i) % args.x.width;
            const Scalar* in = args.x.at<Scalar>(n, y, x);
            Scalar* out = args.out.at<Scalar>(n, y, x);
            for (int c = 0; c < channels; c += S::lanes) {
                typename S::Vec sum = S::load(result + i * core_.result_width() + c);
                if (residual_) {
                    sum = S::add(S::load(in + c), sum);
                }
                for (int j = 0; j < args.additions; ++j) {
                    sum = S::add(sum, S::load(args.added[j].at<Scalar>(n, y, x) + c));
                }
                S::store(out + c, sum);
            }
        }
    }

private:
    static int per_image(const Args& args) {
        return (args.x.height * args.x.width + kGlobalTokens - 1) / kGlobalTokens;
    }

    AttentionCore<S> core_;
    bool residual_;
};

}  // namespace imagen_fast::cpu
