// The plan of a bundle with GPU kernels: imagen_fast/export/bundle_plan.py, which explains it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuda_expression.h"
#include "plan.h"
#include "tensors.h"

namespace imagen_fast::cuda {

enum class Kind { sample, feature, flag };  // what the elements of a buffer are

struct BufferPlan {
    std::string name;
    Kind kind;
    Expression elements;
};

struct Parameter {
    std::string name;
    bool pointer = false;  // else 32 bits
    std::int64_t item = 0, alignment = 1;  // of a pointer: bytes
};

struct Kernel {
    std::string name, cubin, entry;
    int threads = 0, shared = 0;
    std::int64_t scratch[2] = {0, 0};  // bytes of global and of profile memory that a block needs
    std::vector<Parameter> parameters;
};

struct Argument {
    enum class From { buffer, weight, number } from;
    std::string weight;
    int buffer = 0;
    Expression value;  // elements from the start, or the number
};

struct Launch {
    int kernel = 0;
    std::vector<Expression> grid;
    std::vector<Argument> arguments;
    std::string samples;  // "u8", "fp32" or "" for both
};

// One launch for one shape: what its arguments are an offset from, and by how many bytes; or the
// numbers.
struct Call {
    struct Value {
        Argument::From from;
        int buffer = 0;
        std::string weight;
        std::int64_t value = 0;
    };
    int kernel = 0;
    unsigned grid[3] = {1, 1, 1};
    std::vector<Value> values;
    std::int64_t blocks() const { return std::int64_t{grid[0]} * grid[1] * grid[2]; }
};

// What is launched over which buffers for pictures of one shape.
struct Work {
    std::vector<std::int64_t> bytes;  // of every buffer
    std::vector<Call> calls;
};

// The program for one architecture.
class Program {
public:
    // Throws WeightsError: the plan is damaged, or names tensors that there are not.
    Program(const Json&, const std::string& precision, const Tensors&);

    // Throws WeightsError: the plan goes wrong for this shape, or leads beyond its memory.
    Work work(const Shape&, bool bytes, int multiprocessors, const Tensors&) const;

    std::vector<BufferPlan> buffers;
    std::vector<Kernel> kernels;
    std::vector<Launch> launches;
    int image = 0, picture = 0, not_finite = 0;  // of the buffers

private:
    std::int64_t item_of(Kind, bool bytes) const;
    void read_launch(const Json&, const Tensors&);
    Call call_of(const Launch&, const Values&, const Work&, const Tensors&) const;

    std::int64_t feature_bytes_;
    std::vector<std::pair<std::string, Expression>> sizes_;
};

struct Plan {
    std::string precision;
    int arch = 0;  // of the program
    Program program;
};

// The architectures of a plan, and the latest of them that runs on a GPU of `capability`, both as 90
// for 9.0. Throws WeightsError: the plan is damaged.
std::pair<std::vector<int>, std::optional<int>> architectures(const Json&, int capability);

Plan plan_of(const Json&, int arch, const Tensors&);

}  // namespace imagen_fast::cuda
