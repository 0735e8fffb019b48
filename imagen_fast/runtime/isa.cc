#include "isa.h"

#include <cstdlib>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "error.h"

namespace imagen_fast {

namespace {

bool has_avx2() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

bool has_avx512_bf16() {
#if defined(__x86_64__) && defined(__GNUC__)
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

// The kernel must also let this process use the tiles (Documentation/arch/x86/xstate.rst).
bool has_amx() {
#if defined(IMAGEN_FAST_EMULATE_AMX)
    return has_avx512_bf16();
#elif defined(__x86_64__) && defined(__linux__)
    constexpr unsigned kTile = 1u << 24, kBf16 = 1u << 22;
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx512_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTile) &&
           (d & kBf16) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

struct Candidate {
    const char* isa;
    const char* precision;
    bool (*supported)();
    const cpu::KernelSet* (*kernels)();
};

// Best first.
constexpr Candidate kCandidates[] = {
    {"amx", "bf16", has_amx, cpu::amx_bf16},
    {"avx512", "bf16", has_avx512_bf16, cpu::avx512_bf16},
    {"avx512", "fp32", has_avx512, cpu::avx512_fp32},
    {"avx2", "fp32", has_avx2, cpu::avx2_fp32},
    {"generic", "fp32", [] { return true; }, cpu::generic_fp32},
};

bool usable(const Candidate& candidate) { return candidate.supported() && candidate.kernels(); }

}  // namespace

std::vector<std::string> available(const std::string& precision) {
    std::vector<std::string> names;
    for (const Candidate& candidate : kCandidates) {
        if (precision == candidate.precision && usable(candidate)) {
            names.emplace_back(candidate.isa);
        }
    }
    return names;
}

std::pair<std::string, const cpu::KernelSet*> choose(const std::string& isa,
                                                     const std::string& precision) {
    const char* variable = std::getenv("IMAGEN_FAST_ISA");
    const std::string wanted = isa.empty() && variable ? variable : isa;
    for (const Candidate& candidate : kCandidates) {
        if (precision == candidate.precision && (wanted.empty() || wanted == candidate.isa) &&
            usable(candidate)) {
            return {candidate.isa, candidate.kernels()};
        }
    }
    std::string here;
    for (const auto& name : available(precision)) {
        here += (here.empty() ? "" : ", ") + name;
    }
    const std::string what =
        wanted.empty() ? precision + " kernels"
                       : "instruction set '" + wanted + "' in " + precision +
                             (isa.empty() ? " (from IMAGEN_FAST_ISA)" : "");
    throw BackendError(what + " cannot run here; available for " + precision + ": " +
                       (here.empty() ? "none, choose precision fp32" : here));
}

}  // namespace imagen_fast
