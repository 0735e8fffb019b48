// A model on one GPU: its kernels loaded and its weights there, for all shapes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bundle.h"
#include "cuda_device.h"
#include "cuda_plan.h"

namespace imagen_fast::cuda {

// To be made, used and given back while the device is Current.
class Model {
public:
    // Throws WeightsError: the plan is damaged, or the code is none; BackendError: this GPU cannot
    // run it; MemoryError, DeviceError.
    Model(const Bundle&, const Device&);
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    ~Model();

    Work work(const std::vector<Shape>&, bool bytes) const;

    // Queues a launch, `buffers` being where they start; `scratch` has room for `scratch_of` bytes.
    void launch(const Call&, const std::vector<CUdeviceptr>& buffers, CUdeviceptr scratch,
                CUstream) const;

    // Bytes of scratch memory that a launch needs: of mostly no kernel any.
    std::size_t scratch_of(const Call&) const;

    const BundlePlan plan;

private:
    void load_code(const Tensors&);
    void load_weights(const Tensors&);

    const Device& device_;
    std::vector<CUmodule> modules_;
    std::vector<CUfunction> functions_;  // of the plan's kernels
    Memory weights_;
    std::map<std::string, CUdeviceptr, std::less<>> addresses_;
};

}  // namespace imagen_fast::cuda
