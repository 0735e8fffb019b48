// The tile unit (Intel AMX) as the kernels see it: eight tiles of 16 rows of 64 bytes.
//
// Written as assembly because gcc's intrinsics do not say that they touch memory, so that stores
// before a tile load may move behind it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "force_inline.h"

namespace imagen_fast::cpu {
namespace {

struct AmxTiles {
    // Tiles exist within a session; between sessions a thread pays nothing for them.
    class Session {
    public:
        IMAGEN_INLINE Session() {
            alignas(64) Config config{};
            config.palette = 1;
            for (int i = 0; i < 8; ++i) {
                config.rows[i] = 16;
                config.row_bytes[i] = 64;
            }
            asm volatile("ldtilecfg %0" ::"m"(config));
        }
        IMAGEN_INLINE ~Session() { asm volatile("tilerelease" ::); }
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;
    };

    // 16 rows of 64 bytes, `stride` bytes apart; 0 repeats one row.
    template <int tile>
    static IMAGEN_INLINE void load(const void* from, std::ptrdiff_t stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(tile)
                     : "memory");
    }
    // The same of what is not read again soon: it does not displace what lies in the first cache.
    template <int tile>
    static IMAGEN_INLINE void load_once(const void* from, std::ptrdiff_t stride) {
        asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(tile)
                     : "memory");
    }
    template <int tile>
    static IMAGEN_INLINE void store(void* to, std::ptrdiff_t stride) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(tile)
                     : "memory");
    }
    template <int tile>
    static IMAGEN_INLINE void zero() {
        asm volatile("tilezero %%tmm%c0" ::"i"(tile));
    }
    // sum (16, 16) float += a (16, 32) bf16 · b (32, 16) bf16, b in pairs of rows: (16, 16, 2)
    template <int sum, int a, int b>
    static IMAGEN_INLINE void dot() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum), "i"(a), "i"(b));
    }

private:
    struct Config {  // of LDTILECFG
        std::uint8_t palette, start_row, reserved[14];
        std::uint16_t row_bytes[16];
        std::uint8_t rows[16];
    };
};

}  // namespace
}  // namespace imagen_fast::cpu
