#include "convolutions.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <string>

#include "../error.h"
#include "arrays.h"

namespace py = pybind11;

namespace imagen_fast {
namespace {

constexpr int kConvMultiple = 16;  // of a convolution's channels

// Weights (out, 3, 3, in) and bias (out) of a convolution, or their gradients.
using ConvWeights = std::array<py::array, 2>;

std::array<float*, 2> floats_of(const ConvWeights& w, int in, int out) {
    return {floats(w[0], "weight", {out, 3, 3, in}), floats(w[1], "bias", {out})};
}

cpu::Conv3x3Weights convolution_of(const ConvWeights& weights, int in, int out) {
    const auto w = floats_of(weights, in, out);
    return {w[0], w[1], in, out};
}

void conv_block(TrainingRunner& runner, const py::array& x, const ConvWeights& weights,
                const py::array& out, const py::array& slopes) {
    cpu::Args args;
    args.x = plane_of(x, "x", runner.precision, kConvMultiple);
    args.out = plane_of(out, "out", runner.precision, kConvMultiple);
    args.other = plane_of(slopes, "slopes", runner.precision, kConvMultiple);
    expect_same(args.x, args.out, "x and out");
    expect_same(args.x, args.other, "x and slopes");
    const auto w = convolution_of(weights, args.x.channels, args.x.channels);
    const py::gil_scoped_release unlocked;
    runner.run(runner.backward().conv_block(w), args);
}

void conv_block_backward(TrainingRunner& runner, const py::array& x, const py::array& slopes,
                         const ConvWeights& weights, const py::array& gradient,
                         const py::array& x_gradient, const ConvWeights& gradients) {
    cpu::GradientArgs args;
    args.x = plane_of(x, "x", runner.precision, kConvMultiple);
    args.other = plane_of(slopes, "slopes", runner.precision, kConvMultiple);
    args.gradient = plane_of(gradient, "gradient", runner.precision, kConvMultiple);
    args.x_gradient = plane_of(x_gradient, "x_gradient", runner.precision, kConvMultiple);
    for (const cpu::Plane& plane : {args.other, args.gradient, args.x_gradient}) {
        expect_same(args.x, plane, "x, slopes, gradient and x_gradient");
    }
    const int channels = args.x.channels;
    const auto w = convolution_of(weights, channels, channels);
    const auto sums = floats_of(gradients, channels, channels);
    const py::gil_scoped_release unlocked;
    runner.run(runner.backward().conv_block_gradient(w), args, sums.data());
}

// A picture (N, scale · H, scale · W, C) beside a plane, and its channels. Throws BackendError.
int picture_channels(const py::array& picture, const cpu::Plane& x, int scale, const char* name) {
    const int channels = picture.ndim() == 4 ? static_cast<int>(picture.shape(3)) : 0;
    if (scale < 1 || channels < 1 || channels > cpu::kMostImageChannels) {
        throw BackendError(std::string(name) + " must be (N, H, W, C), C at most " +
                           std::to_string(cpu::kMostImageChannels));
    }
    (void)floats(picture, name, {x.images, x.height * scale, x.width * scale, channels});
    return channels;
}

void head(TrainingRunner& runner, const py::array& x, const std::optional<py::array>& base,
          const ConvWeights& weights, int scale, const py::array& picture) {
    cpu::Args args;
    args.x = plane_of(x, "x", runner.precision, kConvMultiple);
    const int channels = picture_channels(picture, args.x, scale, "picture");
    args.picture = const_cast<void*>(picture.data());
    if (base) {
        args.image = floats(*base, "base", {args.x.images, args.x.height, args.x.width, channels});
    }
    const auto w = convolution_of(weights, args.x.channels, channels * scale * scale);
    const py::gil_scoped_release unlocked;
    runner.run(runner.backward().head(w, scale, channels), args);
}

void head_backward(TrainingRunner& runner, const py::array& x, const ConvWeights& weights,
                   int scale, const py::array& gradient, const py::array& x_gradient,
                   const ConvWeights& gradients) {
    cpu::GradientArgs args;
    args.x = plane_of(x, "x", runner.precision, kConvMultiple);
    args.x_gradient = plane_of(x_gradient, "x_gradient", runner.precision, kConvMultiple);
    expect_same(args.x, args.x_gradient, "x and x_gradient");
    const int channels = picture_channels(gradient, args.x, scale, "gradient");
    args.picture_gradient = static_cast<const float*>(gradient.data());
    const int out = channels * scale * scale;
    const auto w = convolution_of(weights, args.x.channels, out);
    const auto sums = floats_of(gradients, args.x.channels, out);
    const py::gil_scoped_release unlocked;
    runner.run(runner.backward().head_gradient(w, scale, channels), args, sums.data());
}

}  // namespace

void bind_convolutions(py::class_<TrainingRunner>& training) {
    training
        .def("conv_block", &conv_block, py::arg("x"), py::arg("weights"), py::arg("out"),
             py::arg("slopes"))
        .def("conv_block_backward", &conv_block_backward, py::arg("x"), py::arg("slopes"),
             py::arg("weights"), py::arg("gradient"), py::arg("x_gradient"), py::arg("gradients"))
        .def("head", &head, py::arg("x"), py::arg("base"), py::arg("weights"), py::arg("scale"),
             py::arg("picture"))
        .def("head_backward", &head_backward, py::arg("x"), py::arg("weights"), py::arg("scale"),
             py::arg("gradient"), py::arg("x_gradient"), py::arg("gradients"));
}

}  // namespace imagen_fast
