#include "cuda_plan.h"

#include <algorithm>
#include <charconv>

#include "error.h"

namespace imagen_fast::cuda {

namespace {

constexpr std::int64_t kMostNumber = 2147483647, kMostThreads = 1024;
constexpr std::int64_t kMostGrid[] = {2147483647, 65535, 65535};
constexpr std::int64_t kMostBytes = std::int64_t{1} << 44;  // of a buffer: beyond any GPU
constexpr int kExact = 90;  // from here on code is for one chip, and runs on no later one

[[noreturn]] void damaged(const std::string& problem) {
    throw WeightsError("the plan is damaged, or of another version: " + problem);
}

const Json& field(const Json& json, const char* name) {
    const auto& object = json.object("a part of the plan");
    const auto found = object.find(name);
    if (found == object.end()) {
        damaged("'" + std::string(name) + "' is missing");
    }
    return found->second;
}

std::int64_t number(const Json& json, const char* what, std::int64_t low, std::int64_t high) {
    const std::int64_t value = json.integer(what);
    if (value < low || value > high) {
        damaged(std::string(what) + " is " + std::to_string(value));
    }
    return value;
}

const Json::Array& row(const Json& json, const char* what, std::size_t width) {
    const auto& values = json.array(what);
    if (values.size() != width) {
        damaged(std::string(what) + " has not " + std::to_string(width) + " values");
    }
    return values;
}

Kind kind_of(const std::string& name) {
    static const std::map<std::string, Kind> kinds = {{"sample", Kind::sample},
                                                      {"number", Kind::number},
                                                      {"feature", Kind::feature},
                                                      {"flag", Kind::flag}};
    const auto found = kinds.find(name);
    if (found == kinds.end()) {
        damaged("a buffer is of kind '" + name + "'");
    }
    return found->second;
}

Parameter parameter_of(const Json& json) {
    const auto& values = row(json, "a parameter", 3);
    Parameter parameter;
    parameter.name = values[0].string("a parameter's name");
    const std::string& type = values[1].string("a parameter's type");
    parameter.alignment = number(values[2], "an alignment", 1, 16);
    if (type == "i32") {
        return parameter;
    }
    static const std::map<std::string, int> items = {
        {"*u8", 1}, {"*bf16", 2}, {"*fp16", 2}, {"*fp32", 4}, {"*i32", 4}};
    const auto found = items.find(type);
    if (found == items.end()) {
        damaged("a parameter is of type '" + type + "'");
    }
    parameter.pointer = true;
    parameter.item = found->second;
    return parameter;
}

Kernel kernel_of(const Json& json, const Tensors& tensors) {
    Kernel kernel;
    kernel.name = field(json, "name").string("a kernel's name");
    kernel.cubin = field(json, "cubin").string("a kernel's cubin");
    kernel.entry = field(json, "entry").string("a kernel's entry");
    kernel.threads = static_cast<int>(number(field(json, "threads"), "threads", 1, kMostThreads));
    kernel.shared = static_cast<int>(number(field(json, "shared"), "shared", 0, kMostNumber));
    const auto& scratch = row(field(json, "scratch"), "scratch", 2);
    for (int i = 0; i < 2; ++i) {
        kernel.scratch[i] = number(scratch[i], "scratch", 0, kMostNumber);
    }
    for (const Json& parameter : field(json, "parameters").array("parameters")) {
        kernel.parameters.push_back(parameter_of(parameter));
    }
    const auto code = tensors.find(kernel.cubin);
    if (code == tensors.end() || code->second.dtype != Dtype::u8) {
        damaged("the code of " + kernel.name + " is missing");
    }
    return kernel;
}

}  // namespace

Program::Program(const Json& json, const Tensors& tensors, const Graph& graph)
    : inputs(static_cast<int>(graph.inputs.size())),
      not_finite(inputs + static_cast<int>(graph.outputs.size())) {
    for (const Json& buffer : field(json, "buffers").array("buffers")) {
        const auto& values = row(buffer, "a buffer", 2);
        buffers.push_back({kind_of(values[0].string("a buffer's kind")), Expression(values[1])});
    }
    const auto comes_or_goes = [](const Buffer& x) {
        return x.kind == Kind::sample || x.kind == Kind::number;
    };
    const auto flag = std::find_if_not(buffers.begin(), buffers.end(), comes_or_goes);
    if (flag - buffers.begin() != not_finite || flag == buffers.end() ||
        flag->kind != Kind::flag) {
        damaged("the first buffers are not the graph's inputs, its outputs and the flag");
    }
    for (const Json& kernel : field(json, "kernels").array("kernels")) {
        kernels.push_back(kernel_of(kernel, tensors));
    }
    const Json& both = field(json, "launches");
    for (const bool bytes : {false, true}) {
        for (const Json& launch : field(both, bytes ? "u8" : "fp32").array("launches")) {
            launches[bytes].push_back(launch_of(launch, tensors));
        }
    }
}

Launch Program::launch_of(const Json& json, const Tensors& tensors) const {
    const auto& parts = row(json, "a launch", 3);
    Launch launch;
    launch.kernel = static_cast<int>(
        number(parts[0], "a launch's kernel", 0, static_cast<std::int64_t>(kernels.size()) - 1));
    const auto& grid = parts[1].array("a grid");
    if (grid.empty() || grid.size() > 3) {
        damaged("a grid has not one to three axes");
    }
    for (const Json& axis : grid) {
        launch.grid.emplace_back(axis);
    }
    const Kernel& kernel = kernels[launch.kernel];
    const auto& arguments = row(parts[2], "a launch's arguments", kernel.parameters.size());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const Parameter& parameter = kernel.parameters[i];
        Argument argument;
        if (!parameter.pointer) {
            argument.number.emplace(arguments[i]);
            launch.arguments.push_back(std::move(argument));
            continue;
        }
        const auto& place = row(arguments[i], "an address", 2);
        const std::int64_t elements = number(place[1], "an offset", 0, kMostBytes);
        argument.offset = elements * parameter.item;
        if (place[0].is_integer()) {
            argument.buffer = static_cast<int>(number(
                place[0], "a buffer's number", 0, static_cast<std::int64_t>(buffers.size()) - 1));
        } else {
            argument.weight = place[0].string("the name of a weight");
            const auto found = tensors.find(argument.weight);
            if (found == tensors.end() || found->second.dtype == Dtype::u8) {
                damaged("there is no weight '" + argument.weight + "'");
            }
            if (argument.offset > static_cast<std::int64_t>(found->second.bytes())) {
                damaged(parameter.name + " of " + kernel.name + " lies beyond its memory");
            }
        }
        if (argument.offset % parameter.alignment) {
            damaged(parameter.name + " of " + kernel.name + " is not aligned to " +
                    std::to_string(parameter.alignment) + " bytes");
        }
        launch.arguments.push_back(std::move(argument));
    }
    return launch;
}

Work Program::work(const std::vector<Shape>& shapes, bool bytes, int multiprocessors) const {
    Values values = {{"N", shapes[0].images}, {"P", multiprocessors}};
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        values["H" + std::to_string(i)] = shapes[i].height;
        values["W" + std::to_string(i)] = shapes[i].width;
    }
    Work work;
    for (const Buffer& buffer : buffers) {
        const std::int64_t elements = buffer.elements.evaluate(values);
        if (elements > kMostBytes / 4) {
            damaged("a buffer has " + std::to_string(elements) + " elements");
        }
        const int item = buffer.kind == Kind::feature ? 2
                         : buffer.kind == Kind::sample && bytes ? 1
                                                                : 4;
        work.bytes.push_back(elements * item);
    }
    for (const Launch& launch : launches[bytes]) {
        work.calls.push_back(call_of(launch, values, work));
    }
    return work;
}

Call Program::call_of(const Launch& launch, const Values& values, const Work& work) const {
    const Kernel& kernel = kernels[launch.kernel];
    Call call;
    call.launch = &launch;
    for (std::size_t axis = 0; axis < launch.grid.size(); ++axis) {
        const std::int64_t blocks = launch.grid[axis].evaluate(values);
        if (blocks < 1 || blocks > kMostGrid[axis]) {
            throw ArgumentError(kernel.name + " would run with a grid of " +
                                std::to_string(blocks) + "; choose a smaller tile");
        }
        call.grid[axis] = static_cast<unsigned>(blocks);
    }
    for (std::size_t i = 0; i < launch.arguments.size(); ++i) {
        const Argument& argument = launch.arguments[i];
        const std::int64_t value = argument.number ? argument.number->evaluate(values) : 0;
        if (value > kMostNumber) {
            throw ArgumentError(kernel.name + " would be given " + std::to_string(value) +
                                "; choose a smaller tile");
        }
        if (argument.buffer >= 0 && argument.offset > work.bytes[argument.buffer]) {
            damaged(kernel.parameters[i].name + " of " + kernel.name + " lies beyond its memory");
        }
        call.numbers.push_back(value);
    }
    return call;
}

std::pair<std::vector<int>, std::optional<int>> architectures(const Json& json, int capability) {
    std::vector<int> all;
    std::optional<int> best;
    for (const auto& [name, program] : field(json, "programs").object("programs")) {
        int arch = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), arch);
        if (error != std::errc() || end != name.data() + name.size() || arch < 1) {
            damaged("an architecture is called '" + name + "'");
        }
        all.push_back(arch);
        const bool runs = arch >= kExact ? arch == capability
                                         : arch / 10 == capability / 10 && arch <= capability;
        if (runs && arch > best.value_or(0)) {
            best = arch;
        }
    }
    std::sort(all.begin(), all.end());
    return {all, best};
}

BundlePlan plan_of(const Json& json, int arch, const Tensors& tensors, const Graph& graph) {
    const std::string& precision = field(json, "precision").string("the plan's precision");
    if (precision != "bf16" && precision != "fp16") {
        damaged("the precision is '" + precision + "'");
    }
    const std::string name = std::to_string(arch);
    return {precision, arch, Program(field(field(json, "programs"), name.c_str()), tensors, graph)};
}

}  // namespace imagen_fast::cuda
