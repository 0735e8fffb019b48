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

enum class Kind { sample, number, feature, flag };  // what the elements of a buffer are

struct Buffer {
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

// An address in a buffer or a weight, or a number.
struct Argument {
    int buffer = -1;     // -1 if it is in none
    std::string weight;  // "" if it is in none
    std::int64_t offset = 0;                // bytes from the start
    std::optional<Expression> number = {};
};

struct Launch {
    int kernel = 0;
    std::vector<Expression> grid;
    std::vector<Argument> arguments;
};

// One launch for some shapes: its grid, and its numbers in the order of its arguments, 0 for addresses.
struct Call {
    const Launch* launch = nullptr;
    unsigned grid[3] = {1, 1, 1};
    std::vector<std::int64_t> numbers;
    std::int64_t blocks() const { return std::int64_t{grid[0]} * grid[1] * grid[2]; }
};

// What is launched over which buffers for inputs of some shapes.
struct Work {
    std::vector<std::int64_t> bytes;  // of every buffer
    std::vector<Call> calls;
};

// The program for one architecture.
class Program {
public:
    // For a graph. Throws WeightsError: the plan is damaged, or names tensors that there are not.
    Program(const Json&, const Tensors&, const Graph&);

    // For inputs of these shapes, as many images in each. What the calls point at is the program's
    // own. Throws WeightsError: the plan goes wrong for these shapes, or leads beyond its memory.
    Work work(const std::vector<Shape>&, bool bytes, int multiprocessors) const;

    int inputs, not_finite;  // of the buffers: inputs, outputs and the flag come first
    std::vector<Buffer> buffers;
    std::vector<Kernel> kernels;
    std::vector<Launch> launches[2];  // for pictures in floats and in bytes

private:
    Launch launch_of(const Json&, const Tensors&) const;
    Call call_of(const Launch&, const Values&, const Work&) const;
};

struct BundlePlan {
    std::string precision;
    int arch = 0;  // of the program
    Program program;
};

// The architectures of a plan, and the latest of them that runs on a GPU of `capability`, both as 90
// for 9.0. Throws WeightsError: the plan is damaged.
std::pair<std::vector<int>, std::optional<int>> architectures(const Json&, int capability);

BundlePlan plan_of(const Json&, int arch, const Tensors&, const Graph&);

}  // namespace imagen_fast::cuda
