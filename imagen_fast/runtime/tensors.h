// A model's tensors by name, and their check against what a network expects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace imagen_fast {

enum class Dtype { f32, f16, bf16, u8 };

std::size_t bytes_of(Dtype);

// Someone else's memory, of any alignment, C-contiguous.
struct Tensor {
    Dtype dtype;
    std::vector<std::int64_t> shape;
    const void* data;

    std::size_t bytes() const;
};

using Tensors = std::map<std::string, Tensor>;

std::string text(const std::vector<std::int64_t>& shape);

// Hands tensors out as floats, and knows which were asked for.
class Weights {
public:
    explicit Weights(const Tensors& tensors) : tensors_(tensors) {}

    // Throws WeightsError: missing, of another shape, or holds values that are not finite.
    std::vector<float> take(const std::string& name, const std::vector<std::int64_t>& shape);
    // Throws WeightsError: there are tensors that nobody asked for.
    void done() const;

private:
    const Tensor& find(const std::string& name, const std::vector<std::int64_t>& shape);

    const Tensors& tensors_;
    std::set<std::string, std::less<>> taken_;
};

}  // namespace imagen_fast
