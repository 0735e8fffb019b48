// Integer expressions of a run's sizes: imagen_fast/kernels/triton/size.py, which explains
// them, evaluated alike.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "json.h"

namespace imagen_fast::cuda {

using Values = std::map<std::string, std::int64_t, std::less<>>;

class Expression {
public:
    // Throws WeightsError: it is none. Names are looked up when it is evaluated.
    explicit Expression(const Json&);

    // Throws WeightsError: an unknown name, a division by 0, a value below 0 or above 2^62.
    std::int64_t evaluate(const Values&) const;

private:
    enum class Kind { number, name, add, sub, mul, div, cdiv, min, max };

    Kind kind_;
    std::int64_t number_ = 0;
    std::string name_;
    std::vector<Expression> operands_;
};

}  // namespace imagen_fast::cuda
