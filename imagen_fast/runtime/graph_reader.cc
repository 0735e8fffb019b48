// Graphs from JSON.
#include <algorithm>
#include <set>
#include <utility>

#include "error.h"
#include "graph_kinds.h"

namespace imagen_fast {

namespace {

constexpr int kMostOperations = 4096, kMostInputs = 64;

class Reader {
public:
    Graph read(std::string_view text) {
        const Json json = Json::parse(text);
        Record top(json, "the graph");
        const auto& inputs = top.array("inputs");
        const auto& operations = top.array("operations");
        const auto& outputs = top.array("outputs");
        top.done();
        if (inputs.empty() || inputs.size() > kMostInputs || operations.size() > kMostOperations ||
            outputs.empty() || outputs.size() > kMostOperations) {
            throw WeightsError("the graph has " + std::to_string(inputs.size()) + " inputs, " +
                               std::to_string(operations.size()) + " operations and " +
                               std::to_string(outputs.size()) + " outputs");
        }
        for (const Json& input : inputs) {
            begin_input(input);
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            place_input(inputs[i], i);
        }
        for (const Json& operation : operations) {
            read_operation(operation);
        }
        for (const auto& [input, name] : standing_in_) {
            const int value = find(name, "input '" + graph_.values[input].name + "'");
            if (!(graph_.values[value] == graph_.values[input])) {
                throw WeightsError("input '" + graph_.values[input].name + "' is of another size than '" +
                                   name + "', which stands in for it");
            }
            if (static_cast<std::size_t>(value) < graph_.inputs.size() &&
                graph_.inputs[value].optional) {
                throw WeightsError("'" + name + "' stands in for an input and may be left out itself");
            }
            graph_.inputs[input].standing_in = value;
        }
        std::set<std::string> names;
        for (const Json& output : outputs) {
            Record record(output, "an output");
            Graph::Output one;
            one.name = record.string("name");
            one.value = find(record.string("value"), "output '" + one.name + "'");
            one.picture = record.boolean("picture");
            record.done();
            const auto input = static_cast<std::size_t>(one.value);
            if (graph_.values[input].grid.around % 2) {
                throw WeightsError("output '" + one.name +
                                   "' has pixels that lie between an input's");
            }
            if (input < graph_.inputs.size() && graph_.inputs[input].optional &&
                graph_.inputs[input].standing_in == kNone) {
                throw WeightsError("output '" + one.name + "' is an input that may be left out");
            }
            if (!names.insert(one.name).second) {
                throw WeightsError("two outputs are called '" + one.name + "'");
            }
            graph_.outputs.push_back(one);
        }
        return std::move(graph_);
    }

private:
    void begin_input(const Json& json) {
        Record record(json, "an input");
        Value value;
        value.name = record.string("name");
        value.channels = record.integer("channels", 1, kMostChannels);
        name(value);
        graph_.values.push_back(value);
    }

    void place_input(const Json& json, std::size_t number) {
        Record record(json, "input '" + graph_.values[number].name + "'");
        record.take("name");
        record.take("channels");
        Graph::Input input;
        input.value = static_cast<int>(number);
        input.picture = record.boolean("picture");
        input.optional = record.boolean("optional");
        const auto& grid = record.array("grid");
        const std::string& default_ = record.string("default");
        record.done();
        input.own_size = grid.empty();
        Grid& place = graph_.values[number].grid;
        place.of = input.value;
        if (!input.own_size) {
            if (grid.size() != 3) {
                throw WeightsError(record.what() + "'s grid is not an input and two numbers");
            }
            place.of = find(grid[0].string(record.what() + "'s grid"), record.what());
            place.halvings = within(grid[1], record.what() + "'s grid", 0, kMostHalvings);
            place.factor = within(grid[2], record.what() + "'s grid", 1, kMostFactor);
            own_.push_back({input.value, place.of});
        }
        if (!default_.empty()) {
            if (!input.optional) {
                throw WeightsError(record.what() + " has a default and is not optional");
            }
            standing_in_.push_back({number, default_});
            defaults_.insert(input.value);
        }
        graph_.inputs.push_back(input);
        if (graph_.inputs.size() == graph_.values.size()) {
            for (const auto& [one, of] : own_) {
                if (!graph_.inputs[of].own_size || graph_.inputs[of].optional) {
                    throw WeightsError("input '" + graph_.values[one].name +
                                       "' is of the size of one that has none");
                }
            }
        }
    }

    void read_operation(const Json& json) {
        Record record(json, "an operation");
        Value value;
        value.name = record.string("output");
        const std::string& kind = record.string("kind");
        const std::string what = "operation '" + value.name + "' (" + kind + ")";
        const KindRow& row = kind_row(kind, what);
        Operation operation = row.like;
        const auto& inputs = record.array("inputs");
        if (inputs.size() < row.least || inputs.size() > row.most) {
            throw WeightsError(what + " has " + std::to_string(inputs.size()) + " inputs");
        }
        for (const Json& input : inputs) {
            const std::string& from = input.string(what + "'s input");
            operation.inputs.push_back(from.empty() ? kNone : find(from, what));
        }
        for (const auto& [role, tensor] : record.take("tensors").object(what + "'s tensors")) {
            operation.tensors[role] = tensor.string(what + "'s tensor");
        }
        read_attributes(record.take("attributes"), what, row, operation);
        record.done();
        const int number = static_cast<int>(graph_.values.size());
        for (const auto& [input, stands_in] : standing_in_) {
            const bool reads = std::count(operation.inputs.begin(), operation.inputs.end(),
                                          static_cast<int>(input)) > 0;
            if (reads && !numbers_.count(stands_in)) {
                throw WeightsError(what + " reads '" + graph_.values[input].name +
                                   "' before what stands in for it is computed");
            }
        }
        check_roles(what, operation);
        const Value inferred = value_of(graph_, what, operation);
        value.channels = inferred.channels;
        value.grid = inferred.grid;
        check_without(what, operation, value);
        name(value);
        graph_.values.push_back(value);
        operation.output = number;
        graph_.operations.push_back(operation);
    }

    // An operation that reads inputs which may be left out, and nothing else then, gives the same.
    void check_without(const std::string& what, Operation operation, const Value& value) const {
        bool changed = false;
        for (int& input : operation.inputs) {
            if (input != kNone && static_cast<std::size_t>(input) < graph_.inputs.size() &&
                graph_.inputs[input].optional && !defaults_.count(input)) {
                input = kNone;
                changed = true;
            }
        }
        if (changed) {
            if (!(value_of(graph_, what, operation) == value)) {
                throw WeightsError(what + " depends on whether an input is left out");
            }
        }
    }

    static int within(const Json& json, const std::string& what, int low, int high) {
        const auto value = json.integer(what);
        if (value < low || value > high) {
            throw WeightsError(what + " is out of range");
        }
        return static_cast<int>(value);
    }

    void name(const Value& value) {
        if (value.name.empty() ||
            !numbers_.emplace(value.name, static_cast<int>(graph_.values.size())).second) {
            throw WeightsError("two values of the graph are called '" + value.name + "', or nothing");
        }
    }
    int find(const std::string& name, const std::string& who) const {
        const auto found = numbers_.find(name);
        if (found == numbers_.end()) {
            throw WeightsError(who + " reads '" + name + "', which is not there");
        }
        return found->second;
    }

    Graph graph_;
    std::map<std::string, int, std::less<>> numbers_;  // values by name
    std::vector<std::pair<std::size_t, std::string>> standing_in_;  // for an input
    std::set<int> defaults_;                                         // inputs that have one
    std::vector<std::pair<int, int>> own_;
};

}  // namespace

Graph Graph::parse(std::string_view json) { return Reader().read(json); }

}  // namespace imagen_fast
