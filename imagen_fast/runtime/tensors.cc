#include "tensors.h"

#include <cmath>
#include <cstring>

#include "error.h"

namespace imagen_fast {

namespace {

// Exact: the fields move to their places in a float, whose exponents are 112 higher. No branches,
// which signs of weights would take at random.
float from_half(std::uint16_t half) {
    std::uint32_t bits = (half & 0x7fffu) << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= (half & 0x8000u) << 16;
    bits |= (half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace

std::size_t bytes_of(Dtype dtype) {
    return dtype == Dtype::f32 ? 4 : dtype == Dtype::u8 ? 1 : 2;
}

std::size_t Tensor::bytes() const {
    std::size_t bytes = bytes_of(dtype);
    for (const auto side : shape) {
        bytes *= static_cast<std::size_t>(side);
    }
    return bytes;
}

std::string text(const std::vector<std::int64_t>& shape) {
    std::string out = "(";
    for (const auto side : shape) {
        out += (out.size() > 1 ? ", " : "") + std::to_string(side);
    }
    return out + ")";
}

const Tensor& Weights::find(const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.shape != shape) {
        throw WeightsError(
            "the model's tensors do not fit its graph: " + name + " is " +
            (found == tensors_.end() ? std::string("missing") : text(found->second.shape)) +
            ", expected " + text(shape));
    }
    taken_.insert(name);
    return found->second;
}

std::vector<float> Weights::take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const Tensor& tensor = find(name, shape);
    std::size_t count = 1;
    for (const auto side : shape) {
        count *= static_cast<std::size_t>(side);
    }
    std::vector<float> values(count);
    if (tensor.dtype == Dtype::f32) {
        std::memcpy(values.data(), tensor.data, count * sizeof(float));
    } else {
        for (std::size_t i = 0; i < count; ++i) {
            std::uint16_t half;
            std::memcpy(&half, static_cast<const char*>(tensor.data) + 2 * i, sizeof half);
            values[i] = from_half(half);
        }
    }
    for (const float value : values) {
        if (!std::isfinite(value)) {
            throw WeightsError("tensor '" + name + "' holds values that are not finite");
        }
    }
    return values;
}

void Weights::done() const {
    if (taken_.size() != tensors_.size()) {
        throw WeightsError("the model's tensors do not fit its graph: there are " +
                           std::to_string(tensors_.size()) + ", expected " +
                           std::to_string(taken_.size()));
    }
}

}  // namespace imagen_fast
