#include "cpu_runner.h"

#include <algorithm>
#include <mutex>

#include "isa.h"
#include "memory.h"

namespace imagen_fast {

namespace {

// As in imagen_fast/backends/native.py, where both are explained.
constexpr std::int64_t kBudget = 512 << 20;
constexpr int kPlanes = 3;

Options preferred(Options options) {
    if (options.precision.empty()) {
        options.precision = preferred_precision(options.isa);
    }
    return options;
}

}  // namespace

CpuRunner::CpuRunner(const Bundle& bundle, Options options)
    : pool_(options.pool),
      engine_(bundle.spec, bundle.tensors, preferred(options)),
      file_(engine_.precision == "fp32" ? std::vector<char>() : bundle.copy()) {}

std::int64_t CpuRunner::capacity(std::uint64_t bytes) const {
    const std::int64_t budget =
        bytes ? static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, INT64_MAX))
              : std::min(available_memory() / 4, kBudget);
    double channels = 0, part = 1;
    for (const Level& level : spec().levels) {
        channels += kPlanes * level.channels / part;
        part *= 4;
    }
    channels += spec().levels[0].channels;
    const int element = engine_.precision == "fp32" ? 4 : 2;
    return static_cast<std::int64_t>(static_cast<double>(budget) / (element * channels));
}

Outcome CpuRunner::run(const Shape& shape, const void* in, void* out, bool bytes,
                       const std::function<bool()>& stop) {
    const Arrays arrays{{in}, {out}, bytes};
    const Outcome outcome = engine_.run(shape, arrays, {}, stop);
    if (outcome != Outcome::not_finite || engine_.precision == "fp32") {
        return outcome;
    }
    reruns_.fetch_add(1, std::memory_order_relaxed);
    return careful().run(shape, arrays, {}, stop);
}

Engine& CpuRunner::careful() {
    const std::lock_guard<Turn> lock(making_);
    if (!careful_) {
        const Bundle bundle(file_.data(), file_.size());
        careful_ = std::make_unique<Engine>(bundle.spec, bundle.tensors,
                                            Options{"fp32", "", pool_});
    }
    return *careful_;
}

void CpuRunner::cancel() {
    engine_.cancel();
    const std::lock_guard<Turn> lock(making_);
    if (careful_) {
        careful_->cancel();
    }
}

std::string CpuRunner::not_finite() const {
    return "the model gives infinities or NaN even in fp32; its weights are damaged or were not "
           "trained to the end: use others";
}

}  // namespace imagen_fast
