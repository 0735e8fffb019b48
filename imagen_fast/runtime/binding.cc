// imagen_fast._native: the runtime for Python. Arrays go in and out without a copy, and the
// interpreter is free while the kernels run.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <memory>

#include "bundle.h"
#include "engine.h"
#include "error.h"

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

std::unique_ptr<Engine> from_arrays(const std::string& spec, const py::dict& arrays,
                                    const Options& options) {
    const Tensors tensors = tensors_of(arrays);
    const Unlocked unlocked;
    return std::make_unique<Engine>(Spec::parse(spec), tensors, options);
}

std::unique_ptr<Engine> from_file(const std::string& path, const Options& options) {
    const Unlocked unlocked;
    const Bundle bundle(path);
    return std::make_unique<Engine>(bundle.spec, bundle.tensors, options);
}

// Runs without the interpreter's lock; signals are handled meanwhile. False: not finite.
bool finish(Engine& engine, const Shape& shape, const Arrays& arrays, const Task& task) {
    Outcome outcome;
    {
        Unlocked unlocked;
        outcome = engine.run(shape, arrays, task, [&] { return unlocked.handle_signals(); });
    }
    if (PyErr_Occurred()) {  // what a signal's handler raised
        throw py::error_already_set();
    }
    if (outcome == Outcome::cancelled) {
        throw BackendError("the run was cancelled");
    }
    return outcome == Outcome::done;
}

bool run(Engine& engine, const py::array& tiles, const py::array& out) {
    const Shape shape = shape_of(tiles);
    const bool bytes = py::isinstance<py::array_t<std::uint8_t>>(tiles);
    if (!bytes && !py::isinstance<py::array_t<float>>(tiles)) {
        throw BackendError("tiles must be uint8 or float32");
    }
    const int scale = engine.spec.scale, channels = engine.spec.values();
    if (out.ndim() != 4 || !out.dtype().is(tiles.dtype()) || tiles.shape(3) != channels ||
        out.shape(0) != tiles.shape(0) || out.shape(1) != scale * tiles.shape(1) ||
        out.shape(2) != scale * tiles.shape(2) || out.shape(3) != channels) {
        throw BackendError("out must be of shape (N, s·H, s·W, C) and of the tiles' type");
    }
    if (!(tiles.flags() & py::array::c_style) || !(out.flags() & py::array::c_style) ||
        !out.writeable()) {
        throw BackendError("tiles and out must be C-contiguous, and out writable");
    }
    return finish(engine, shape, {{tiles.data()}, {const_cast<void*>(out.data())}, bytes}, {});
}

void expect(const py::array& array, const std::string& what, const Shape& shape, int channels) {
    if (!py::isinstance<py::array_t<float>>(array) || array.ndim() != 4 ||
        array.shape(0) != shape.images || array.shape(1) != shape.height ||
        array.shape(2) != shape.width || array.shape(3) != channels ||
        !(array.flags() & py::array::c_style)) {
        throw BackendError(what + " must be a C-contiguous array of float32 of shape " +
                           text({shape.images, shape.height, shape.width, channels}));
    }
}

bool run_levels(Engine& engine, const py::array& in, const std::vector<py::array>& out,
                const std::vector<py::array>& context, bool latent, bool features) {
    const Spec& spec = engine.spec;
    const Task task{latent, !context.empty(),
                    features ? Task::Result::features : Task::Result::pictures};
    const Shape shape = shape_of(in);
    expect(in, "the input", shape, latent ? spec.latent_channels : spec.image_channels);
    {
        const Unlocked unlocked;  // or whoever has the turn would wait for the interpreter
        engine.prepare(shape, task);  // refuses impossible shapes before they are multiplied
    }
    const std::vector<Shape> levels = level_shapes(spec, task, shape);
    if (out.size() != levels.size() || (task.context && context.size() != levels.size())) {
        throw BackendError("context and results must have an array for each of the " +
                           std::to_string(levels.size()) + " levels");
    }
    Arrays arrays{{in.data()}, {}, false};
    for (std::size_t l = 0; l < levels.size(); ++l) {
        const int channels = spec.levels[l].channels, scale = features ? 1 : spec.scale;
        const Shape large{shape.images, scale * levels[l].height, scale * levels[l].width};
        expect(out[l], "a result", large, features ? channels : spec.image_channels);
        if (!out[l].writeable()) {
            throw BackendError("results must be writable");
        }
        arrays.out.push_back(const_cast<void*>(out[l].data()));
        if (task.context) {
            expect(context[l], "a context", levels[l], channels);
            arrays.in.push_back(context[l].data());
        }
    }
    return finish(engine, shape, arrays, task);
}

// Everything that a bundle's reader checks and finds: spec's scale, metadata, names and shapes.
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
    py::register_exception_translator([](std::exception_ptr pointer) {
        try {
            std::rethrow_exception(pointer);
        } catch (const WeightsError& error) {
            PyErr_SetString(weights_error.ptr(), error.what());
        } catch (const BackendError& error) {
            PyErr_SetString(backend_error.ptr(), error.what());
        } catch (const ArgumentError& error) {
            PyErr_SetString(backend_error.ptr(), error.what());
        }
    });

    py::class_<Engine>(m, "Engine")
        .def(py::init([](const std::string& spec, const py::dict& tensors,
                         const std::string& precision, const std::string& isa, int threads,
                         int spin_us, const std::vector<int>& cores) {
                 return from_arrays(spec, tensors, {precision, isa, {threads, spin_us, cores}});
             }),
             py::arg("spec"), py::arg("tensors"), py::kw_only(), py::arg("precision") = "fp32",
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
        .def("prepare",
             [](Engine& engine, int n, int h, int w) {
                 const Unlocked unlocked;
                 engine.prepare({n, h, w});
             })
        .def("run", &run, py::arg("tiles"), py::arg("out"))
        .def("run_levels", &run_levels, py::arg("input"), py::arg("out"), py::kw_only(),
             py::arg("context") = std::vector<py::array>{}, py::arg("latent") = false,
             py::arg("features") = false)
        .def_readonly("precision", &Engine::precision)
        .def_readonly("isa", &Engine::isa)
        .def_property_readonly("threads", &Engine::threads);

    m.def("available", &available, py::arg("precision"));
    m.def("preferred_precision", &preferred_precision, py::arg("isa") = "");
    m.def("read_bundle", &read_bundle, py::arg("path"));
}
