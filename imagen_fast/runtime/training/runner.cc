#include "runner.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "../error.h"
#include "../isa.h"

namespace imagen_fast {

namespace {

struct Candidate {
    const char* isa;
    const char* precision;
    const cpu::TrainingSet* (*kernels)();
};

constexpr Candidate kCandidates[] = {
    {"amx", "bf16", cpu::training_amx_bf16},
    {"avx512_bf16", "bf16", cpu::training_avx512_bf16},
    {"avx512", "bf16", cpu::training_avx512_widened},
    {"avx2", "fp32", cpu::training_avx2},
};

// What an instruction set computes by, or null if it cannot run here.
const Candidate* candidate(const std::string& isa) {
    for (const Candidate& c : kCandidates) {
        const std::vector<std::string> names = available(c.precision);
        const bool here = std::find(names.begin(), names.end(), isa) != names.end();
        if (isa == c.isa && c.kernels() && here) {
            return &c;
        }
    }
    return nullptr;
}

// The name of what `isa` asks for.
std::string chosen(const std::string& isa) {
    const std::string wanted = wanted_isa(isa);
    const std::vector<std::string> names = trainable("");
    if (wanted.empty() && !names.empty()) {
        return names.front();
    }
    if (!candidate(wanted)) {
        throw BackendError(
            (wanted.empty() ? "this processor" : "instruction set '" + wanted + "'") +
            " has no kernels for training here; available: " +
            (names.empty() ? "none" : joined(names)));
    }
    return wanted;
}

}  // namespace

std::vector<std::string> trainable(const std::string& precision) {
    const std::string wanted = wanted_isa("");
    std::vector<std::string> names;
    for (const char* each : {"bf16", "fp32"}) {
        for (const std::string& isa : available(each)) {
            const Candidate* c = candidate(isa);
            const bool asked = (precision.empty() || precision == each) &&
                               (wanted.empty() || wanted == isa);
            if (c && std::string(c->precision) == each && asked) {
                names.push_back(isa);
            }
        }
    }
    return names;
}

cpu::Plane borderless(void* data, int images, int height, int width, int channels, int bytes) {
    cpu::Plane plane;
    plane.images = images;
    plane.height = plane.lines = height;
    plane.width = plane.line = width;
    plane.channels = plane.pixel = channels;
    // Where pixel (-1, -1) would be.
    constexpr std::ptrdiff_t before = cpu::Plane::kBefore;
    plane.data = static_cast<std::byte*>(data) - before * (width + 1) * channels * bytes;
    return plane;
}

TrainingRunner::TrainingRunner(const std::string& wanted, int threads)
    : isa(chosen(wanted)),
      precision(candidate(isa)->precision),
      forward_(*choose(isa, precision).second),
      backward_(*candidate(isa)->kernels()),
      pool_({threads, PoolOptions{}.spin_us, {}}),
      scratch_(threads) {}

void TrainingRunner::reserve(std::size_t bytes) {
    for (cpu::Buffer& buffer : scratch_) {
        if (buffer.size() < bytes) {
            buffer = cpu::Buffer();  // before other memory is taken
            buffer = cpu::Buffer(bytes);
        }
    }
}

void TrainingRunner::run(cpu::Op* operation, const cpu::Args& args) {
    const std::unique_ptr<cpu::Op> op(operation);
    const std::lock_guard<std::mutex> lock(turn_);
    reserve(op->scratch(args));
    pool_.run(op->blocks(args), [&](int block, int thread) {
        forward_.run(*op, block, args, static_cast<std::byte*>(scratch_[thread].data()));
    });
}

void TrainingRunner::run(cpu::GradientOp* operation, const cpu::GradientArgs& args,
                   float* const* gradients) {
    const std::unique_ptr<cpu::GradientOp> op(operation);
    const std::lock_guard<std::mutex> lock(turn_);
    std::vector<cpu::Buffer> sums;
    reserve(op->scratch(args));
    for (int i = 0; i < threads(); ++i) {
        sums.emplace_back(op->sums() * sizeof(float));
    }
    // Which blocks are summed together does not depend on which thread has time: a run that is made
    // again, or goes on from a checkpoint, gives the same weights.
    const std::int64_t blocks = op->blocks(args), parts = threads();
    pool_.run(threads(), [&](int part, int thread) {
        for (std::int64_t i = blocks * part / parts; i < blocks * (part + 1) / parts; ++i) {
            backward_.run(*op, static_cast<int>(i), args,
                          static_cast<std::byte*>(scratch_[thread].data()),
                          static_cast<float*>(sums[part].data()));
        }
    });
    for (const cpu::Buffer& buffer : sums) {
        op->collect(static_cast<const float*>(buffer.data()), gradients);
    }
}

void TrainingRunner::picture_distances(const float* a, const float* b, int pictures,
                                       std::ptrdiff_t samples, bool squares, float* distances) {
    const std::lock_guard<std::mutex> lock(turn_);
    pool_.run(pictures, [&](int i, int) {
        const std::ptrdiff_t at = i * samples;
        distances[i] =
            static_cast<float>(backward_.picture_distance(a + at, b + at, samples, squares));
    });
}

void TrainingRunner::picture_distance_gradients(const float* a, const float* b, int pictures,
                                                std::ptrdiff_t samples, bool squares,
                                                const float* factors, float* gradient) {
    const std::lock_guard<std::mutex> lock(turn_);
    pool_.run(pictures, [&](int i, int) {
        const std::ptrdiff_t at = i * samples;
        backward_.picture_distance_gradient(a + at, b + at, samples, squares, factors[i],
                                            gradient + at);
    });
}

double TrainingRunner::spectrum_distance(int height, int width, const cpu::SpectrumArgs& args) {
    const std::lock_guard<std::mutex> lock(turn_);
    std::unique_ptr<cpu::SpectrumOp>& op = spectra_[{height, width}];
    if (!op) {
        op.reset(backward_.spectrum_distance(height, width));
    }
    reserve(op->scratch(args));
    std::vector<double> sums(op->blocks(args));
    pool_.run(op->blocks(args), [&](int block, int thread) {
        sums[block] = backward_.run(*op, block, args,
                                    static_cast<std::byte*>(scratch_[thread].data()));
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace imagen_fast
