// Memory for large results that Python holds and lets go: the next ones lie where the last did. Fresh
// pages cost more than what is written to them, up to a quarter of a run of 4096² pixels.
//
// Included by the binding alone, and used with the interpreter's lock held.
#pragma once

#include <pybind11/numpy.h>

#include <functional>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "../../kernels/cpu/buffer.h"

namespace imagen_fast {

class Results {
public:
    // An uninitialised array. Throws std::bad_alloc, or Python's MemoryError.
    pybind11::array make(const pybind11::dtype& type, const std::vector<pybind11::ssize_t>& shape) {
        const auto bytes = static_cast<std::size_t>(std::accumulate(
            shape.begin(), shape.end(), type.itemsize(), std::multiplies<pybind11::ssize_t>()));
        if (bytes < kLarge) {
            return pybind11::array(type, shape);
        }
        auto loan = std::make_unique<Loan>();
        cpu::Buffer kept = std::move(*kept_);
        if (kept.size() == bytes) {
            loan->buffer = std::move(kept);
        } else {
            kept = cpu::Buffer();  // before other memory is taken
            loan->buffer = cpu::Buffer(bytes);
        }
        loan->home = kept_;
        void* const data = loan->buffer.data();
        const pybind11::capsule owner(loan.get(), [](void* let_go) {
            const std::unique_ptr<Loan> loan(static_cast<Loan*>(let_go));
            if (const auto home = loan->home.lock()) {
                *home = std::move(loan->buffer);
            }
        });
        (void)loan.release();
        return pybind11::array(type, shape, std::vector<pybind11::ssize_t>(), data, owner);
    }

private:
    static constexpr std::size_t kLarge = 4 << 20;  // smaller ones' pages the allocator keeps anyway

    struct Loan {
        cpu::Buffer buffer;
        std::weak_ptr<cpu::Buffer> home;
    };
    const std::shared_ptr<cpu::Buffer> kept_ = std::make_shared<cpu::Buffer>();  // the last let go
};

}  // namespace imagen_fast
