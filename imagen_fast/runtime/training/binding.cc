#include "binding.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>

#include "../error.h"
#include "arrays.h"
#include "convolutions.h"
#include "runner.h"

namespace py = pybind11;

namespace imagen_fast {
namespace {

// The parameters of an attention block or their gradients: q, kv, proj, temperature, position.
using AttentionWeights = std::array<py::array, 5>;

std::array<float*, 5> floats_of(const AttentionWeights& w, int c, int head_dim, int window) {
    return {floats(w[0], "q", {c, c}), floats(w[1], "kv", {2 * c, c}), floats(w[2], "proj", {c, c}),
            floats(w[3], "temperature", {c / head_dim}),
            floats(w[4], "position", {window * window, c})};
}

cpu::Attention attention_of(const AttentionWeights& weights, int channels, int head_dim, int window,
                            int shift) {
    if (head_dim < 1 || channels % head_dim || window < 1 || shift < 0 || shift >= window) {
        throw BackendError("head_dim must divide the channels, and shift be less than window");
    }
    const auto w = floats_of(weights, channels, head_dim, window);
    return {w[0], w[1], w[2], w[3], w[4], channels, head_dim, window, shift};
}

void window_attention(TrainingRunner& runner, const py::array& x, const py::array& other,
                      const AttentionWeights& weights, int head_dim, int window, int shift,
                      const py::array& out) {
    cpu::Args args;
    args.x = plane_of(x, "x", runner.precision);
    args.other = plane_of(other, "other", runner.precision);
    args.out = plane_of(out, "out", runner.precision);
    expect_same(args.x, args.other, "x and other");
    expect_same(args.x, args.out, "x and out");
    const auto a = attention_of(weights, args.x.channels, head_dim, window, shift);
    const py::gil_scoped_release unlocked;
    runner.run(runner.forward().window_attention(a), args);
}

void window_attention_backward(TrainingRunner& runner, const py::array& x, const py::array& other,
                               const AttentionWeights& weights, int head_dim, int window, int shift,
                               const py::array& gradient, const py::array& x_gradient,
                               const py::array& other_gradient, const AttentionWeights& gradients) {
    const auto plane = [&](const py::array& array, const char* name) {
        return plane_of(array, name, runner.precision);
    };
    const cpu::GradientArgs args{plane(x, "x"), plane(other, "other"), plane(gradient, "gradient"),
                                 plane(x_gradient, "x_gradient"),
                                 plane(other_gradient, "other_gradient")};
    for (const cpu::Plane& each :
         {args.other, args.gradient, args.x_gradient, args.other_gradient}) {
        expect_same(args.x, each, "x, other, gradient, x_gradient and other_gradient");
    }
    const auto a = attention_of(weights, args.x.channels, head_dim, window, shift);
    const auto sums = floats_of(gradients, args.x.channels, head_dim, window);
    const py::gil_scoped_release unlocked;
    runner.run(runner.backward().window_attention(a), args, sums.data());
}

// Two batches of pictures, (N, samples).
struct Pair {
    const float *a, *b;
    int pictures;
    py::ssize_t samples;

    Pair(const py::array& first, const py::array& second) {
        if (first.ndim() != 2) {
            throw BackendError("pictures must be of shape (N, samples)");
        }
        a = floats(first, "a", {first.shape(0), first.shape(1)});
        b = floats(second, "b", {first.shape(0), first.shape(1)});
        pictures = static_cast<int>(first.shape(0));
        samples = first.shape(1);
    }
};

void picture_distances(TrainingRunner& runner, const py::array& a, const py::array& b, bool squares,
                       const py::array& distances) {
    const Pair pair(a, b);
    float* const out = floats(distances, "distances", {pair.pictures});
    const py::gil_scoped_release unlocked;
    runner.picture_distances(pair.a, pair.b, pair.pictures, pair.samples, squares, out);
}

void picture_distance_gradients(TrainingRunner& runner, const py::array& a, const py::array& b,
                                bool squares, const py::array& factors, const py::array& gradient) {
    const Pair pair(a, b);
    const float* const given = floats(factors, "factors", {pair.pictures});
    float* const out = floats(gradient, "gradient", {pair.pictures, pair.samples});
    const py::gil_scoped_release unlocked;
    runner.picture_distance_gradients(pair.a, pair.b, pair.pictures, pair.samples, squares, given,
                                      out);
}

// Mean |FFT(a) - FFT(b)|, each frequency of a pair once.
double spectrum_distance(TrainingRunner& runner, const py::array& a, const py::array& b,
                         const py::array& gradient) {
    const std::vector<py::ssize_t> shape(a.shape(), a.shape() + a.ndim());
    if (shape.size() != 4 || *std::min_element(shape.begin(), shape.end()) < 1 ||
        std::max(shape[1], shape[2]) > cpu::SpectrumOp::kMostSide) {
        throw BackendError("pictures must be of shape (N, H, W, C), sides at most " +
                           std::to_string(cpu::SpectrumOp::kMostSide));
    }
    const double count = static_cast<double>(shape[0]) * shape[1] * (shape[2] / 2 + 1) * shape[3];
    const cpu::SpectrumArgs args{floats(a, "a", shape),
                                 floats(b, "b", shape),
                                 floats(gradient, "gradient", shape),
                                 static_cast<int>(shape[0]),
                                 static_cast<int>(shape[3]),
                                 static_cast<float>(1 / count)};
    const py::gil_scoped_release unlocked;
    return runner.spectrum_distance(static_cast<int>(shape[1]), static_cast<int>(shape[2]), args);
}

}  // namespace

void bind_training(py::module_& m) {
    py::class_<TrainingRunner> training(m, "Training");
    training
        .def(py::init<const std::string&, int>(), py::kw_only(), py::arg("isa") = "",
             py::arg("threads") = 1)
        .def("window_attention", &window_attention, py::arg("x"), py::arg("other"),
             py::arg("weights"), py::arg("head_dim"), py::arg("window"), py::arg("shift"),
             py::arg("out"))
        .def("window_attention_backward", &window_attention_backward, py::arg("x"),
             py::arg("other"), py::arg("weights"), py::arg("head_dim"), py::arg("window"),
             py::arg("shift"), py::arg("gradient"), py::arg("x_gradient"),
             py::arg("other_gradient"), py::arg("gradients"))
        .def("picture_distances", &picture_distances, py::arg("a"), py::arg("b"),
             py::arg("squares"), py::arg("distances"))
        .def("picture_distance_gradients", &picture_distance_gradients, py::arg("a"), py::arg("b"),
             py::arg("squares"), py::arg("factors"), py::arg("gradient"))
        .def("spectrum_distance", &spectrum_distance, py::arg("a"), py::arg("b"),
             py::arg("gradient"))
        .def_readonly("isa", &TrainingRunner::isa)
        .def_readonly("precision", &TrainingRunner::precision)
        .def_property_readonly("threads", &TrainingRunner::threads);
    bind_convolutions(training);
    m.def("trainable", &trainable, py::arg("precision") = "");
}

}  // namespace imagen_fast
