// Tiles on an NVIDIA GPU: never yet run on one; see docs/embed.md.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "bundle.h"
#include "runner.h"

namespace imagen_fast {

class CudaRunner : public Runner {
public:
    // device: "cuda" or "cuda:N"; precision: "" or what the file computes in. Throws WeightsError:
    // the file has no kernels, or is damaged. BackendError: no driver, no such GPU, or it cannot
    // run them; another precision. MemoryError, DeviceError.
    CudaRunner(const Bundle&, const std::string& device, const std::string& precision);
    ~CudaRunner() override;

    // Throws MemoryError; DeviceError, after which only the destructor may be called;
    // WeightsError, ArgumentError: the plan does not fit these shapes; BackendError: an input is
    // missing, or this is a child of the process that made it.
    Outcome run(const Request&, const Arrays&, const std::function<bool()>& stop) override;
    void cancel() override { cancelled_.store(true, std::memory_order_relaxed); }
    std::uint64_t memory(const Request&) const override;
    std::int64_t capacity(std::uint64_t budget) const override;
    std::int64_t largest_tile() const override { return 1024; }
    const Graph& graph() const override { return graph_; }
    const std::string& precision() const override { return precision_; }
    const std::string& isa() const override { return isa_; }
    int threads() const override { return 1; }
    std::int64_t reruns() const override { return 0; }
    std::string not_finite() const override;

private:
    struct State;

    void refuse_after_fork() const;

    const Graph graph_;
    std::unique_ptr<State> state_;
    std::string precision_, isa_;
    const int born_;  // forks() then
    mutable std::mutex turn_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace imagen_fast
