// A graph's operators, their weights packed for one instruction set.
#pragma once

#include <memory>
#include <vector>

#include "../../kernels/cpu/op.h"
#include "graph.h"
#include "storage.h"
#include "tensors.h"

namespace imagen_fast {

struct Network {
    // Throws WeightsError: a tensor is missing, unknown, of another shape or not finite;
    // OperationError: there is no kernel for an operation, which it names.
    Network(const Graph&, const Tensors&, const cpu::KernelSet&);

    // Of one operation: one operator, keys and queries of global attention, or none where nothing
    // is to be computed. Operations with the same tensors share them.
    using Operators = std::vector<std::shared_ptr<const cpu::Op>>;

    const Graph graph;  // with kinds taken apart that there is no kernel for
    const std::vector<Storage> storage;      // of each value
    const std::vector<Operators> operators;  // of each operation
};

}  // namespace imagen_fast
