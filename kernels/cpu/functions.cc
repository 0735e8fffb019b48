#include "functions.h"

#include <cmath>

namespace imagen_fast::cpu {

namespace {

float one(Activation function, float exponent, float x) {
    switch (function) {
        case Activation::softplus:
            return x > 20.0f ? x : std::log1p(std::exp(x));
        case Activation::sqrt:
            return std::sqrt(x);
        case Activation::reciprocal:
            return 1.0f / x;
        case Activation::exp:
            return std::exp(x);
        case Activation::log:
            return std::log(x);
        case Activation::erf:
            return std::erf(x);
        case Activation::power:
            return std::pow(x, exponent);
        default:
            return x;
    }
}

}  // namespace

void apply(Activation function, float exponent, float* values, int count) {
    for (int i = 0; i < count; ++i) {
        values[i] = one(function, exponent, values[i]);
    }
}

}  // namespace imagen_fast::cpu
