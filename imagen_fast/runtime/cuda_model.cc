#include "cuda_model.h"

#include <cstring>

#include "cuda_cubin.h"
#include "error.h"

namespace imagen_fast::cuda {

namespace {

constexpr std::size_t kAlignment = 256;     // of every tensor
constexpr std::int64_t kUsualShared = 48 << 10;  // that a block may take without asking

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The driver takes as many arguments, and of such sizes, as the code says.
void check_parameters(const Kernel& kernel, const Tensor& code) {
    std::vector<int> sizes;
    for (const Parameter& parameter : kernel.parameters) {
        sizes.push_back(parameter.pointer ? 8 : 4);
    }
    sizes.insert(sizes.end(), {8, 8});  // of scratch memory
    if (parameter_sizes(code.data, code.bytes(), kernel.entry) != sizes) {
        throw WeightsError("the code of " + kernel.name +
                           " takes other parameters than the plan passes");
    }
}

BundlePlan chosen(const Bundle& bundle, const Device& device) {
    const Json json = Json::parse(bundle.metadata.at("plan"));
    const auto [all, best] = architectures(json, device.capability);
    const std::string advice =
        "; export the model with --arch sm_" + std::to_string(device.capability);
    if (!best) {
        std::string names;
        for (const int arch : all) {
            names += (names.empty() ? "sm_" : ", sm_") + std::to_string(arch);
        }
        throw BackendError(device.title + " cannot run this file, whose kernels are for " + names +
                           advice);
    }
    BundlePlan plan = plan_of(json, *best, bundle.tensors, bundle.graph);
    for (const Kernel& kernel : plan.program.kernels) {
        if (kernel.shared > device.most_shared) {
            throw BackendError(device.title + " has " + std::to_string(device.most_shared) +
                               " bytes of shared memory for a block, and " + kernel.name +
                               " takes " + std::to_string(kernel.shared) + advice);
        }
    }
    return plan;
}

}  // namespace

Model::Model(const Bundle& bundle, const Device& device)
    : plan(chosen(bundle, device)), device_(device) {
    try {
        load_weights(bundle.tensors);
        load_code(bundle.tensors);
    } catch (...) {
        for (const CUmodule module : modules_) {
            driver().cuModuleUnload(module);
        }
        throw;
    }
}

Model::~Model() {
    for (const CUmodule module : modules_) {
        driver().cuModuleUnload(module);
    }
}

void Model::load_weights(const Tensors& tensors) {
    std::size_t end = 0;
    for (const auto& [name, tensor] : tensors) {
        if (tensor.dtype != Dtype::u8) {
            end += aligned(tensor.bytes());
        }
    }
    weights_ = Memory(end, "weights");
    // Of its own: waiting for the whole device would spoil what another thread is capturing.
    const OwnStream copies;
    CUdeviceptr at = weights_.address;
    for (const auto& [name, tensor] : tensors) {
        if (tensor.dtype == Dtype::u8) {
            continue;
        }
        driver().check(
            driver().cuMemcpyHtoDAsync_v2(at, tensor.data, tensor.bytes(), copies.stream),
            "copying weights");
        addresses_[name] = at;
        at += aligned(tensor.bytes());
    }
    driver().check(driver().cuStreamSynchronize(copies.stream), "copying weights");
}

void Model::load_code(const Tensors& tensors) {
    for (const Kernel& kernel : plan.program.kernels) {
        const Tensor& tensor = tensors.at(kernel.cubin);
        // The loader is told no length: it reads a file of the ELF format, which says its own.
        std::vector<std::uint64_t> code(tensor.bytes() / 8 + 1);
        std::memcpy(code.data(), tensor.data, tensor.bytes());
        check_parameters(kernel, tensor);
        CUmodule module = nullptr;
        driver().check(driver().cuModuleLoadData(&module, code.data()), "loading " + kernel.name);
        modules_.push_back(module);
        CUfunction function = nullptr;
        driver().check(driver().cuModuleGetFunction(&function, module, kernel.entry.c_str()),
                       "finding " + kernel.entry + " in " + kernel.name);
        if (kernel.shared > kUsualShared) {
            driver().check(driver().cuFuncSetAttribute(function, kDynamicShared, kernel.shared),
                           "giving " + kernel.name + " its shared memory");
        }
        functions_.push_back(function);
    }
}

Work Model::work(const std::vector<Shape>& shapes, bool bytes) const {
    return plan.program.work(shapes, bytes, device_.multiprocessors);
}

std::size_t Model::scratch_of(const Call& call) const {
    const Kernel& kernel = plan.program.kernels[call.launch->kernel];
    return static_cast<std::size_t>(call.blocks()) *
           static_cast<std::size_t>(kernel.scratch[0] + kernel.scratch[1]);
}

void Model::launch(const Call& call, const std::vector<CUdeviceptr>& buffers, CUdeviceptr scratch,
                   CUstream stream) const {
    const Kernel& kernel = plan.program.kernels[call.launch->kernel];
    std::vector<std::uint64_t> values;
    for (std::size_t i = 0; i < call.numbers.size(); ++i) {
        const Argument& argument = call.launch->arguments[i];
        const CUdeviceptr start = argument.number        ? 0
                                  : argument.buffer >= 0 ? buffers[argument.buffer]
                                                         : addresses_.find(argument.weight)->second;
        values.push_back(start + static_cast<std::uint64_t>(argument.offset + call.numbers[i]));
    }
    // Every kernel takes two addresses more, of scratch memory, null where it needs none.
    const std::uint64_t global = static_cast<std::uint64_t>(call.blocks() * kernel.scratch[0]);
    values.push_back(kernel.scratch[0] ? scratch : 0);
    values.push_back(kernel.scratch[1] ? scratch + global : 0);
    std::vector<void*> arguments;
    for (std::uint64_t& value : values) {
        arguments.push_back(&value);  // of 32 bits the driver takes the lower half
    }
    driver().check(
        driver().cuLaunchKernel(functions_[call.launch->kernel], call.grid[0], call.grid[1], call.grid[2],
                        static_cast<unsigned>(kernel.threads), 1, 1,
                        static_cast<unsigned>(kernel.shared), stream, arguments.data(), nullptr),
        "launching " + kernel.name);
}

}  // namespace imagen_fast::cuda
