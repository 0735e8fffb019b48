#include "cuda_expression.h"

#include <algorithm>

#include "error.h"

namespace imagen_fast::cuda {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 62;
constexpr const char* kOperations[] = {"add", "sub", "mul", "div", "cdiv", "min", "max"};

}  // namespace

Expression::Expression(const Json& json) {
    if (json.is_integer()) {
        kind_ = Kind::number;
        number_ = json.integer("an expression");
        return;
    }
    if (json.is_string()) {
        kind_ = Kind::name;
        name_ = json.string("an expression");
        return;
    }
    const auto& parts = json.array("an expression");
    const auto* found = std::end(kOperations);
    if (parts.size() == 3) {
        const std::string& operation = parts[0].string("an expression's operation");
        found = std::find(std::begin(kOperations), std::end(kOperations), operation);
    }
    if (found == std::end(kOperations)) {
        throw WeightsError("the plan has something in place of an expression");
    }
    kind_ = static_cast<Kind>(static_cast<int>(Kind::add) + (found - std::begin(kOperations)));
    operands_.emplace_back(parts[1]);
    operands_.emplace_back(parts[2]);
}

std::int64_t Expression::evaluate(const Values& values) const {
    std::int64_t result = number_;
    bool fits = true;
    if (kind_ == Kind::name) {
        const auto found = values.find(name_);
        if (found == values.end()) {
            throw WeightsError("an expression of the plan names '" + name_ +
                               "', which nothing defines");
        }
        result = found->second;
    } else if (kind_ != Kind::number) {
        const std::int64_t a = operands_[0].evaluate(values), b = operands_[1].evaluate(values);
        const bool divides = kind_ == Kind::div || kind_ == Kind::cdiv;
        if (divides && b == 0) {
            throw WeightsError("an expression of the plan divides by 0");
        }
        switch (kind_) {
            case Kind::add: fits = !__builtin_add_overflow(a, b, &result); break;
            case Kind::sub: result = a - b; break;  // both are 0 or more
            case Kind::mul: fits = !__builtin_mul_overflow(a, b, &result); break;
            case Kind::div: result = a / b; break;
            case Kind::cdiv: result = a / b + (a % b != 0); break;
            case Kind::min: result = std::min(a, b); break;
            default: result = std::max(a, b);
        }
    }
    if (!fits || result < 0 || result > kMost) {
        throw WeightsError("an expression of the plan has a value that is not from 0 to 2^62");
    }
    return result;
}

}  // namespace imagen_fast::cuda
