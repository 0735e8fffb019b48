// Tiles on the processor: an engine in the precision to prefer, and one in fp32 for what is not
// finite there.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "bundle.h"
#include "engine.h"
#include "runner.h"
#include "turn.h"

namespace imagen_fast {

class CpuRunner : public Runner {
public:
    // `precision` "" is the one to prefer. Throws as Engine does.
    CpuRunner(const Bundle&, EngineOptions);

    Outcome run(const Request&, const Arrays&, const std::function<bool()>& stop) override;
    void cancel() override;
    std::uint64_t memory(const Request& request) const override { return engine_.memory(request); }
    std::int64_t capacity(std::uint64_t budget) const override;
    std::int64_t largest_tile() const override { return 512; }
    const Graph& graph() const override { return engine_.graph; }
    const std::string& precision() const override { return engine_.precision; }
    const std::string& isa() const override { return engine_.isa; }
    int threads() const override { return engine_.threads(); }
    std::int64_t reruns() const override { return reruns_.load(std::memory_order_relaxed); }
    std::string not_finite() const override;

private:
    Engine& careful();

    const PoolOptions pool_;
    Engine engine_;
    const std::vector<char> file_;  // the model's, for the engine in fp32; empty if this one is
    Turn making_;
    std::unique_ptr<Engine> careful_;  // the same in fp32, made when it is needed
    std::atomic<std::int64_t> reruns_{0};
};

}  // namespace imagen_fast
