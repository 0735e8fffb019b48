// imagen_fast._native: the runtime for Python. Arrays go in and out without a copy, and the
// interpreter is free while the kernels run.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <memory>

#include "bundle.h"
#include "color_bounds.h"
#include "engine.h"
#include "error.h"
#include "flat.h"
#include "memory.h"
#include "neutral.h"
#include "results.h"
#include "training/binding.h"

namespace py = pybind11;

namespace imagen_fast {
namespace {

// The interpreter is free while this lives: its lock is given back, and taken again at the end.
//
// Where the interpreter has ended meanwhile, whoever asks for its lock is unwound (by Python before
// 3.14), through destructors that need it. Such a thread sleeps instead, until the process is gone.
class Unlocked {
public:
    Unlocked() : state_(PyEval_SaveThread()) {}
    ~Unlocked() { take(); }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

    // Has signals handled, which needs the lock. True if a handler raised something.
    bool handle_signals() {
        take();
        const bool raised = PyErr_CheckSignals() != 0;
        state_ = PyEval_SaveThread();
        return raised;
    }

private:
    void take() {
        struct Sleep {
            bool for_ever = true;
            ~Sleep() {
                while (for_ever) {
                    pause();
                }
            }
        } sleep;
        PyEval_RestoreThread(state_);
        sleep.for_ever = false;
    }

    PyThreadState* state_;
};

Shape shape_of(const py::array& tiles) {
    if (tiles.ndim() != 4) {
        throw BackendError("tiles must be of shape (N, H, W, C)");
    }
    constexpr py::ssize_t most = 1 << 30;
    for (int i = 0; i < 3; ++i) {
        if (tiles.shape(i) > most) {
            throw BackendError("tiles are too large");
        }
    }
    return {static_cast<int>(tiles.shape(0)), static_cast<int>(tiles.shape(1)),
            static_cast<int>(tiles.shape(2))};
}

// Views of numpy arrays, which the caller keeps alive.
Tensors tensors_of(const py::dict& arrays) {
    Tensors tensors;
    for (const auto& [key, value] : arrays) {
        const auto name = key.cast<std::string>();
        const auto array = value.cast<py::array>();
        const bool f32 = py::isinstance<py::array_t<float>>(array);
        if ((!f32 && !array.dtype().is(py::dtype("float16"))) ||
            !(array.flags() & py::array::c_style)) {
            throw WeightsError("tensor '" + name +
                               "' must be a C-contiguous array of float32 or float16");
        }
        tensors[name] = {f32 ? Dtype::f32 : Dtype::f16,
                         {array.shape(), array.shape() + array.ndim()},
                         array.data()};
    }
    return tensors;
}

struct PythonEngine : Engine {
    using Engine::Engine;

    Results results;
};

std::unique_ptr<PythonEngine> from_arrays(const std::string& graph, const py::dict& arrays,
                                    const EngineOptions& options) {
    const Tensors tensors = tensors_of(arrays);
    const Unlocked unlocked;
    return std::make_unique<PythonEngine>(Graph::parse(graph), tensors, options);
}

std::unique_ptr<PythonEngine> from_file(const std::string& path, const EngineOptions& options) {
    const Unlocked unlocked;
    const Bundle bundle(path);
    return std::make_unique<PythonEngine>(bundle.graph, bundle.tensors, options);
}

using Sizes = std::map<std::string, std::tuple<int, int, int>>;

Request request_of(const Engine& engine, const Sizes& sizes, const std::vector<std::string>& outputs,
                   bool bytes) {
    Request request;
    request.bytes = bytes;
    for (const auto& [name, size] : sizes) {
        const auto [images, height, width] = size;
        request.given.push_back({engine.graph.input(name), {images, height, width}});
    }
    for (const auto& name : outputs) {
        request.wanted.push_back(engine.graph.output(name));
    }
    return request;
}

void expect(const py::array& array, const std::string& what, bool bytes, const Shape& shape,
            int channels) {
    const bool type = bytes ? py::isinstance<py::array_t<std::uint8_t>>(array)
                            : py::isinstance<py::array_t<float>>(array);
    if (!type || array.ndim() != 4 || array.shape(0) != shape.images ||
        array.shape(1) != shape.height || array.shape(2) != shape.width ||
        array.shape(3) != channels || !(array.flags() & py::array::c_style)) {
        throw BackendError(what + " must be a C-contiguous array of " +
                           (bytes ? "uint8" : "float32") + " of shape " +
                           text({shape.images, shape.height, shape.width, channels}));
    }
}

// The results' arrays are made here. None if a result is not finite.
py::object run(PythonEngine& engine, const py::dict& inputs, const std::vector<std::string>& outputs) {
    std::vector<std::pair<std::string, py::array>> given;
    Request request;
    for (const auto& [key, value] : inputs) {
        const auto name = key.cast<std::string>();
        const auto array = value.cast<py::array>();
        request.given.push_back({engine.graph.input(name), shape_of(array)});
        request.bytes = request.bytes || py::isinstance<py::array_t<std::uint8_t>>(array);
        given.emplace_back(name, array);
    }
    for (const auto& name : outputs) {
        request.wanted.push_back(engine.graph.output(name));
    }
    needed(engine.graph, request);  // refuses impossible shapes before they are multiplied
    Arrays arrays;
    for (std::size_t i = 0; i < given.size(); ++i) {
        const auto& input = engine.graph.inputs[request.given[i].input];
        expect(given[i].second, "input '" + given[i].first + "'", request.bytes && input.picture,
               request.given[i].shape, engine.graph.values[input.value].channels);
        arrays.in.push_back(given[i].second.data());
    }
    py::dict results;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const int value = engine.graph.outputs[request.wanted[i]].value;
        const Shape shape = shape_of(engine.graph, request, value);
        const bool bytes = request.bytes && engine.graph.outputs[request.wanted[i]].picture;
        py::array result = engine.results.make(
            bytes ? py::dtype::of<std::uint8_t>() : py::dtype::of<float>(),
            {shape.images, shape.height, shape.width, engine.graph.values[value].channels});
        arrays.out.push_back(result.mutable_data());
        results[py::str(outputs[i])] = result;
    }
    Outcome outcome;
    {
        Unlocked unlocked;
        outcome = engine.run(request, arrays, [&] { return unlocked.handle_signals(); });
    }
    if (PyErr_Occurred()) {  // what a signal's handler raised
        throw py::error_already_set();
    }
    if (outcome == Outcome::cancelled) {
        throw BackendError("the run was cancelled");
    }
    return outcome == Outcome::done ? py::object(results) : py::none();
}

// Changes results in place by what the input has nearby.
using Mend = void(const Shape&, int scale, const void* in, void* out, bool bytes, int threads);

void mend(Mend* by, const py::array& tiles, py::array output, int threads) {
    const Shape shape = shape_of(tiles);
    const bool bytes = py::isinstance<py::array_t<std::uint8_t>>(tiles);
    expect(tiles, "tiles", bytes, shape, 3);
    const int scale = shape.height ? static_cast<int>(output.shape(1) / shape.height) : 1;
    expect(output, "output", bytes, {shape.images, scale * shape.height, scale * shape.width}, 3);
    if (tiles.size() == 0) {
        return;
    }
    const void* in = tiles.data();
    void* out = output.mutable_data();
    const Unlocked unlocked;
    by(shape, scale, in, out, bytes, threads);
}

// Everything that a bundle's reader checks and finds: metadata, names and shapes.
py::tuple read_bundle(const std::string& path) {
    const Bundle bundle(path);
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const auto& [name, tensor] : bundle.tensors) {
        shapes[name] = tensor.shape;
    }
    return py::make_tuple(bundle.metadata, shapes);
}

}  // namespace
}  // namespace imagen_fast

PYBIND11_MODULE(_native, m) {
    using namespace imagen_fast;
    const py::module_ errors = py::module_::import("imagen_fast.errors");
    static py::handle weights_error = errors.attr("WeightsError").cast<py::object>().release();
    static py::handle backend_error = errors.attr("BackendError").cast<py::object>().release();
    static py::handle operation_error = errors.attr("OperationError").cast<py::object>().release();
    py::register_exception_translator([](std::exception_ptr pointer) {
        try {
            std::rethrow_exception(pointer);
        } catch (const WeightsError& error) {
            PyErr_SetString(weights_error.ptr(), error.what());
        } catch (const OperationError& error) {
            PyErr_SetString(operation_error.ptr(), error.what());
        } catch (const BackendError& error) {
            PyErr_SetString(backend_error.ptr(), error.what());
        } catch (const ArgumentError& error) {
            PyErr_SetString(backend_error.ptr(), error.what());
        }
    });

    py::class_<PythonEngine>(m, "Engine")
        .def(py::init([](const std::string& graph, const py::dict& tensors,
                         const std::string& precision, const std::string& isa, int threads,
                         int spin_us, const std::vector<int>& cores) {
                 return from_arrays(graph, tensors, {precision, isa, {threads, spin_us, cores}});
             }),
             py::arg("graph"), py::arg("tensors"), py::kw_only(), py::arg("precision") = "fp32",
             py::arg("isa") = "", py::arg("threads") = 1, py::arg("spin_us") = PoolOptions{}.spin_us,
             py::arg("cores") = std::vector<int>{})
        .def_static(
            "load",
            [](const std::string& path, const std::string& precision, const std::string& isa,
               int threads, int spin_us, const std::vector<int>& cores) {
                return from_file(path, {precision, isa, {threads, spin_us, cores}});
            },
            py::arg("path"), py::kw_only(), py::arg("precision") = "fp32", py::arg("isa") = "",
            py::arg("threads") = 1, py::arg("spin_us") = PoolOptions{}.spin_us,
            py::arg("cores") = std::vector<int>{})
        .def("cancel", &Engine::cancel)
        .def(
            "prepare",
            [](PythonEngine& engine, const Sizes& sizes, const std::vector<std::string>& outputs,
               bool bytes) {
                const Request request = request_of(engine, sizes, outputs, bytes);
                const Unlocked unlocked;
                engine.prepare(request);
            },
            py::arg("sizes"), py::arg("outputs"), py::arg("bytes") = false)
        .def(
            "memory",
            [](const PythonEngine& engine, const Sizes& sizes,
               const std::vector<std::string>& outputs) {
                return engine.memory(request_of(engine, sizes, outputs, false));
            },
            py::arg("sizes"), py::arg("outputs"))
        .def("capacity", &Engine::capacity, py::arg("budget") = 0)
        .def("run", &run, py::arg("inputs"), py::arg("outputs"))
        .def_readonly("precision", &Engine::precision)
        .def_readonly("isa", &Engine::isa)
        .def_property_readonly("threads", &Engine::threads);

    m.def("available_memory", &available_memory, py::arg("root") = "");
    m.def("available", &available, py::arg("precision"));
    m.def("preferred_precision", &preferred_precision, py::arg("isa") = "");
    for (const auto& [name, by] : std::initializer_list<std::pair<const char*, Mend*>>{
             {"bound_colors", bound_colors},
             {"keep_neutral", keep_neutral},
             {"keep_flat", [](const Shape& shape, int, const void* in, void* out, bool bytes,
                              int threads) { keep_flat(shape, in, out, bytes, threads); }}}) {
        m.def(
            name,
            [by = by](const py::array& tiles, const py::array& output, int threads) {
                mend(by, tiles, output, threads);
            },
            py::arg("tiles"), py::arg("output"), py::arg("threads") = 1);
    }
    m.def("read_bundle", &read_bundle, py::arg("path"));
    bind_training(m);
}
