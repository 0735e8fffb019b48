// What an PictureEngine computes on: the processor, or a GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "plan.h"
#include "graph.h"

namespace imagen_fast {

// May be called from several threads; they take turns.
class Runner {
public:
    virtual ~Runner() = default;

    // `stop` is asked now and then on the calling thread; true cancels the run. Throws as `needed`;
    // BackendError: it cannot run this request.
    virtual Outcome run(const Request&, const Arrays&, const std::function<bool()>& stop) = 0;

    // Ends the run that is going on in another thread, if any.
    virtual void cancel() = 0;

    // Bytes that `run` takes for that. Throws as `run`.
    virtual std::uint64_t memory(const Request&) const = 0;

    // How many pixels a tile may have for feature maps to fit `budget` bytes; 0: a part of what is
    // free.
    virtual std::int64_t capacity(std::uint64_t budget) const = 0;
    // The side of the largest tiles that are worth their memory (imagen_fast/tiling.py).
    virtual std::int64_t largest_tile() const = 0;

    virtual const Graph& graph() const = 0;
    virtual const std::string& precision() const = 0;
    virtual const std::string& isa() const = 0;  // a GPU's is "sm_90"
    virtual int threads() const = 0;

    // How many runs were computed again in a higher precision.
    virtual std::int64_t reruns() const = 0;

    // What to do about pictures that are not finite.
    virtual std::string not_finite() const = 0;
};

}  // namespace imagen_fast
