// The tile unit in plain C++, for testing the AMX kernels on a processor without one. Slow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

struct AmxEmulated {
    class Session {
    public:
        Session() { open() = true; }
        ~Session() { open() = false; }
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;
    };

    template <int tile>
    static void load(const void* from, std::ptrdiff_t stride) {
        for (int i = 0; i < 16; ++i) {
            std::memcpy(at(tile) + i * 64, static_cast<const char*>(from) + i * stride, 64);
        }
    }
    template <int tile>
    static void store(void* to, std::ptrdiff_t stride) {
        for (int i = 0; i < 16; ++i) {
            std::memcpy(static_cast<char*>(to) + i * stride, at(tile) + i * 64, 64);
        }
    }
    template <int tile>
    static void load_once(const void* from, std::ptrdiff_t stride) {
        load<tile>(from, stride);
    }
    template <int tile>
    static void zero() {
        std::memset(at(tile), 0, 1024);
    }
    // Subnormals count as zero, as in the unit.
    template <int sum, int a, int b>
    static void dot() {
        float c[16][16], left[16][32], right[32][16];
        std::memcpy(c, at(sum), sizeof c);
        for (int i = 0; i < 16; ++i) {
            for (int k = 0; k < 32; ++k) {
                left[i][k] = widen(at(a) + i * 64 + k * 2);
                right[k / 2 * 2 + k % 2][i] = widen(at(b) + k / 2 * 64 + i * 4 + k % 2 * 2);
            }
        }
        for (int i = 0; i < 16; ++i) {
            for (int k = 0; k < 32; ++k) {
                for (int j = 0; j < 16; ++j) {
                    c[i][j] += left[i][k] * right[k][j];
                }
            }
        }
        std::memcpy(at(sum), c, sizeof c);
    }

private:
    static bool& open() {
        static thread_local bool is_open = false;
        return is_open;
    }
    // Outside a session the unit raises an invalid-opcode exception.
    static char* at(int tile) {
        static thread_local char tiles[8][1024];
        if (!open()) {
            __builtin_trap();
        }
        return tiles[tile];
    }
    static float widen(const char* bf16) {
        std::uint16_t half;
        std::memcpy(&half, bf16, sizeof half);
        const std::uint32_t bits = (half & 0x7f80) ? std::uint32_t{half} << 16 : 0;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
};

}  // namespace
}  // namespace imagen_fast::cpu
