#include "graph.h"

#include <algorithm>
#include "error.h"

namespace imagen_fast {

namespace {

template <class List, class Name>
int find(const List& list, std::string_view name, const char* what, Name name_of) {
    std::string all;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (name_of(list[i]) == name) {
            return static_cast<int>(i);
        }
        all += (i ? ", " : "") + name_of(list[i]);
    }
    throw ArgumentError("this model has no " + std::string(what) + " '" + std::string(name) +
                       "'; it has " + all);
}

}  // namespace

int Graph::input(std::string_view wanted) const {
    return find(inputs, wanted, "input", [&](const Input& x) { return name(x.value); });
}

int Graph::output(std::string_view wanted) const {
    return find(outputs, wanted, "output", [](const Output& x) { return x.name; });
}

int Graph::scale() const {
    const Grid& grid = values[static_cast<std::size_t>(outputs[0].value)].grid;
    return grid.halvings || grid.around || grid.of != 0 ? 0 : grid.factor;
}

bool Graph::recurrent() const {
    constexpr std::string_view previous = "previous";
    return std::any_of(inputs.begin(), inputs.end(),
                       [&](const Input& x) { return name(x.value) == previous; }) &&
           std::any_of(outputs.begin(), outputs.end(),
                       [&](const Output& x) { return x.name == previous; });
}

}  // namespace imagen_fast
