#include "cpu_runner.h"

#include <algorithm>
#include <mutex>

#include "isa.h"

namespace imagen_fast {

namespace {

EngineOptions preferred(EngineOptions options) {
    if (options.precision.empty()) {
        options.precision = preferred_precision(options.isa);
    }
    return options;
}

}  // namespace

CpuRunner::CpuRunner(const Bundle& bundle, EngineOptions options)
    : pool_(options.pool),
      engine_(bundle.graph, bundle.tensors, preferred(options)),
      file_(engine_.precision == "fp32" ? std::vector<char>() : bundle.copy()) {}

std::int64_t CpuRunner::capacity(std::uint64_t bytes) const {
    return engine_.capacity(static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, INT64_MAX)));
}

Outcome CpuRunner::run(const Request& request, const Arrays& arrays,
                       const std::function<bool()>& stop) {
    const Outcome outcome = engine_.run(request, arrays, stop);
    if (outcome != Outcome::not_finite || engine_.precision == "fp32") {
        return outcome;
    }
    reruns_.fetch_add(1, std::memory_order_relaxed);
    return careful().run(request, arrays, stop);
}

Engine& CpuRunner::careful() {
    const std::lock_guard<Turn> lock(making_);
    if (!careful_) {
        const Bundle bundle(file_.data(), file_.size());
        careful_ = std::make_unique<Engine>(bundle.graph, bundle.tensors,
                                            EngineOptions{"fp32", "", pool_});
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
