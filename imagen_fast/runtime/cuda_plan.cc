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
    if (name == "sample" || name == "feature") {
        return name == "sample" ? Kind::sample : Kind::feature;
    }
    if (name != "flag") {
        damaged("a buffer is of kind '" + name + "'");
    }
    return Kind::flag;
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
    kernel.scratch[0] = number(field(json, "global_scratch"), "global_scratch", 0, kMostNumber);
    kernel.scratch[1] = number(field(json, "profile_scratch"), "profile_scratch", 0, kMostNumber);
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

Program::Program(const Json& json, const std::string& precision, const Tensors& tensors)
    : feature_bytes_(precision == "fp32" ? 4 : 2) {
    for (const Json& size : field(json, "sizes").array("sizes")) {
        const auto& values = row(size, "a size", 2);
        sizes_.emplace_back(values[0].string("a size's name"), Expression(values[1]));
    }
    int* places[] = {&image, &picture, &not_finite};
    const char* names[] = {"image", "picture", "not_finite"};
    const Kind kinds[] = {Kind::sample, Kind::sample, Kind::flag};
    int seen = 0;
    for (const Json& buffer : field(json, "buffers").array("buffers")) {
        const auto& values = row(buffer, "a buffer", 3);
        const std::string& name = values[0].string("a buffer's name");
        const Kind kind = kind_of(values[1].string("a buffer's kind"));
        for (int i = 0; i < 3; ++i) {
            if (name == names[i] && kind == kinds[i]) {
                *places[i] = static_cast<int>(buffers.size());
                seen |= 1 << i;
            }
        }
        for (const BufferPlan& other : buffers) {
            if (other.name == name) {
                damaged("there are two buffers '" + name + "'");
            }
        }
        buffers.push_back({name, kind, Expression(values[2])});
    }
    if (seen != 7) {
        damaged("there is no buffer for the image, the picture or the flag");
    }
    for (const Json& kernel : field(json, "kernels").array("kernels")) {
        kernels.push_back(kernel_of(kernel, tensors));
    }
    for (const Json& launch : field(json, "launches").array("launches")) {
        read_launch(launch, tensors);
    }
}

void Program::read_launch(const Json& json, const Tensors& tensors) {
    Launch launch;
    launch.kernel = static_cast<int>(number(field(json, "kernel"), "a launch's kernel", 0,
                                            static_cast<std::int64_t>(kernels.size()) - 1));
    launch.samples = field(json, "samples").string("a launch's samples");
    if (launch.samples != "" && launch.samples != "u8" && launch.samples != "fp32") {
        damaged("a launch is for samples '" + launch.samples + "'");
    }
    const auto& grid = field(json, "grid").array("a grid");
    if (grid.empty() || grid.size() > 3) {
        damaged("a grid has not one to three axes");
    }
    for (const Json& axis : grid) {
        launch.grid.emplace_back(axis);
    }
    const Kernel& kernel = kernels[launch.kernel];
    const auto& arguments =
        row(field(json, "arguments"), "a launch's arguments", kernel.parameters.size());
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const bool pointer = kernel.parameters[i].pointer;
        const auto& values = row(arguments[i], "an argument", pointer ? 3 : 2);
        const std::string& from = values[0].string("an argument's kind");
        if (!pointer) {
            if (from != "size") {
                damaged("an argument of " + kernel.name + " is no number");
            }
            launch.arguments.push_back({Argument::From::number, "", 0, Expression(values[1])});
            continue;
        }
        const std::string& name = values[1].string("an argument's name");
        const auto buffer = std::find_if(buffers.begin(), buffers.end(),
                                         [&](const BufferPlan& x) { return x.name == name; });
        if (from == "buffer" && buffer != buffers.end()) {
            launch.arguments.push_back({Argument::From::buffer, "",
                                        static_cast<int>(buffer - buffers.begin()),
                                        Expression(values[2])});
        } else if (from == "weight" && tensors.count(name)) {
            launch.arguments.push_back({Argument::From::weight, name, 0, Expression(values[2])});
        } else {
            damaged("an argument of " + kernel.name + " is '" + name + "', which there is not");
        }
    }
    launches.push_back(std::move(launch));
}

std::int64_t Program::item_of(Kind kind, bool bytes) const {
    return kind == Kind::feature ? feature_bytes_ : kind == Kind::sample && bytes ? 1 : 4;
}

Work Program::work(const Shape& shape, bool bytes, int multiprocessors,
                   const Tensors& tensors) const {
    Values values = {{"N", shape.images},
                     {"H", shape.height},
                     {"W", shape.width},
                     {"P", multiprocessors}};
    for (const auto& [name, expression] : sizes_) {
        values[name] = expression.evaluate(values);
    }
    Work work;
    for (const BufferPlan& buffer : buffers) {
        const std::int64_t elements = buffer.elements.evaluate(values);
        if (elements > kMostBytes / 4) {
            damaged("the buffer '" + buffer.name + "' has " + std::to_string(elements) +
                    " elements");
        }
        work.bytes.push_back(elements * item_of(buffer.kind, bytes));
    }
    for (const Launch& launch : launches) {
        if (launch.samples.empty() || launch.samples == (bytes ? "u8" : "fp32")) {
            work.calls.push_back(call_of(launch, values, work, tensors));
        }
    }
    return work;
}

Call Program::call_of(const Launch& launch, const Values& values, const Work& work,
                      const Tensors& tensors) const {
    const Kernel& kernel = kernels[launch.kernel];
    Call call;
    call.kernel = launch.kernel;
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
        Call::Value value{argument.from, argument.buffer, argument.weight,
                          argument.value.evaluate(values)};
        if (argument.from == Argument::From::number) {
            if (value.value > kMostNumber) {
                throw ArgumentError(kernel.name + " would be given " +
                                    std::to_string(value.value) + "; choose a smaller tile");
            }
        } else {
            const bool weight = argument.from == Argument::From::weight;
            const std::int64_t end =
                weight ? static_cast<std::int64_t>(tensors.at(argument.weight).bytes())
                       : work.bytes[argument.buffer];
            if (value.value > end / kernel.parameters[i].item) {
                damaged(kernel.parameters[i].name + " of " + kernel.name +
                        " lies beyond its memory");
            }
            value.value *= kernel.parameters[i].item;
            if (value.value % kernel.parameters[i].alignment) {
                damaged(kernel.parameters[i].name + " of " + kernel.name + " is not aligned to " +
                        std::to_string(kernel.parameters[i].alignment) + " bytes");
            }
        }
        call.values.push_back(std::move(value));
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

Plan plan_of(const Json& json, int arch, const Tensors& tensors) {
    const std::string& precision = field(json, "precision").string("the plan's precision");
    if (precision != "bf16" && precision != "fp16" && precision != "fp32") {
        damaged("the precision is '" + precision + "'");
    }
    const std::string name = std::to_string(arch);
    return {precision, arch,
            Program(field(field(json, "programs"), name.c_str()), precision, tensors)};
}

}  // namespace imagen_fast::cuda
