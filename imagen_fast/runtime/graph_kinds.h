// What a graph's file may say of the operations of each kind.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph.h"
#include "record.h"

namespace imagen_fast {

constexpr int kMostChannels = 4096, kMostHalvings = 16, kMostFactor = 1 << 16;

struct KindRow {
    struct Attribute {
        const char* name;
        bool needed;
        // Reads it into the operation. Throws WeightsError: out of range.
        std::function<void(Record&, const std::string& name, Operation&)> read;
    };

    Operation like;  // with the defaults
    std::size_t least, most;  // inputs
    std::vector<Attribute> attributes;
};

// Throws WeightsError: there is no such kind.
const KindRow& kind_row(const std::string& name, const std::string& what);

// The attributes of an operation, from JSON. Throws WeightsError.
void read_attributes(const Json&, const std::string& what, const KindRow&, Operation&);

// Throws WeightsError: the operation's tensors have other roles than its kind's.
void check_roles(const std::string& what, const Operation&);

// Channels and grid of what an operation gives. Throws WeightsError: its inputs do not fit.
Value value_of(const Graph&, const std::string& what, const Operation&);

}  // namespace imagen_fast
