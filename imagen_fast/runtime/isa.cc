#include "isa.h"

#include <algorithm>
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

// Processors with tiles also have VBMI, whose table lookups the AMX kernels use.
bool has_avx512_vbmi() {
#if defined(__x86_64__) && defined(__GNUC__)
    return has_avx512_bf16() && __builtin_cpu_supports("avx512vbmi");
#else
    return false;
#endif
}

// The kernel must also let this process use the tiles (Documentation/arch/x86/xstate.rst).
bool has_amx() {
#if defined(IMAGEN_FAST_EMULATE_AMX)
    return has_avx512_vbmi();
#elif defined(__x86_64__) && defined(__linux__)
    constexpr unsigned kTile = 1u << 24, kBf16 = 1u << 22;
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx512_vbmi() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTile) &&
           (d & kBf16) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

bool always() { return true; }
bool never() { return false; }

// Zen 4 and 5 multiply bfloat16 at twice the rate of floats (here: 94 ms where fp32 takes 158);
// Intel's cores multiply it at half the rate.
bool has_fast_avx512_bf16() {
#if defined(__x86_64__) && defined(__GNUC__)
    return has_avx512_bf16() && __builtin_cpu_is("amd");
#else
    return false;
#endif
}
bool has_slow_avx512_bf16() { return has_avx512_bf16() && !has_fast_avx512_bf16(); }

struct Candidate {
    const char* isa;
    const char* precision;
    bool (*supported)();
    const cpu::KernelSet* (*kernels)();
    bool (*preferred)();  // to what comes after it
};

// Best first.
constexpr Candidate kCandidates[] = {
    {"amx", "bf16", has_amx, cpu::amx_bf16, always},
    {"avx512_bf16", "bf16", has_fast_avx512_bf16, cpu::avx512_bf16, always},
    {"avx512", "bf16", has_avx512, cpu::avx512_widened, never},
    {"avx512_bf16", "bf16", has_slow_avx512_bf16, cpu::avx512_bf16, never},
    {"avx512", "fp32", has_avx512, cpu::avx512_fp32, always},
    {"avx2", "fp32", has_avx2, cpu::avx2_fp32, always},
    {"generic", "fp32", always, cpu::generic_fp32, always},
};

bool usable(const Candidate& candidate) { return candidate.supported() && candidate.kernels(); }

bool holds(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string wanted_isa(const std::string& isa) {
    const char* variable = std::getenv("IMAGEN_FAST_ISA");
    return isa.empty() && variable ? variable : isa;
}

std::string joined(const std::vector<std::string>& names, const char* between) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : between) + name;
    }
    return text;
}

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
    const std::string wanted = wanted_isa(isa);
    for (const Candidate& candidate : kCandidates) {
        if (precision == candidate.precision && (wanted.empty() || wanted == candidate.isa) &&
            usable(candidate)) {
            return {candidate.isa, candidate.kernels()};
        }
    }
    const std::string from = isa.empty() ? " (from IMAGEN_FAST_ISA)" : "";
    std::vector<std::string> known, computes;
    for (const Candidate& candidate : kCandidates) {
        if (!holds(known, candidate.isa)) {
            known.emplace_back(candidate.isa);
        }
        if (wanted == candidate.isa && !holds(computes, candidate.precision)) {
            computes.emplace_back(candidate.precision);
        }
    }
    if (!wanted.empty() && computes.empty()) {
        throw BackendError("no instruction set '" + wanted + "'" + from + "; expected one of " +
                           joined(known));
    }
    if (!wanted.empty() && !holds(computes, precision)) {
        throw BackendError("instruction set '" + wanted + "'" + from + " computes in " +
                           joined(computes, " or ") + ", not in " + precision +
                           "; choose another, or leave one of the two out");
    }
    const std::string here = joined(available(precision));
    const std::string what = wanted.empty()
                                 ? precision + " kernels"
                                 : "instruction set '" + wanted + "' in " + precision + from;
    throw BackendError(what + " cannot run here; available for " + precision + ": " +
                       (here.empty() ? "none, choose precision fp32" : here));
}

std::string preferred_precision(const std::string& isa) {
    const std::string wanted = wanted_isa(isa);
    for (const Candidate& candidate : kCandidates) {
        if ((wanted.empty() || wanted == candidate.isa) && usable(candidate) &&
            candidate.preferred()) {
            return candidate.precision;
        }
    }
    for (const Candidate& candidate : kCandidates) {
        if (wanted == candidate.isa && candidate.preferred()) {  // cannot run here: see `choose`
            return candidate.precision;
        }
    }
    return "fp32";
}

}  // namespace imagen_fast
