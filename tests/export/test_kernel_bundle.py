"""Bundles with GPU kernels: what is in the file, whether it runs, and what is refused."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from imagen_fast.export import bundle_check, bundle_file, bundle_plan  # noqa: E402
from imagen_fast.export.gpus import Gpu  # noqa: E402
from imagen_fast.export.options import ExportOptions  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from imagen_fast.bundle import Bundle, load_bundle, save_bundle  # noqa: E402
from imagen_fast.errors import ExportError, WeightsError  # noqa: E402
from imagen_fast.graph import Input, Output  # noqa: E402
from imagen_fast.graph.builder import Builder  # noqa: E402
from imagen_fast.graph.passes import needed  # noqa: E402
from imagen_fast.spec import Level, ModelSpec  # noqa: E402
from imagen_fast.tasks.export import export  # noqa: E402

NAMES = ("N", "H0", "W0", "P")


@pytest.fixture
def exported(gpu_bundle):
    return gpu_bundle


@pytest.fixture
def model(gpu_model):
    return gpu_model


@pytest.fixture
def header(exported):
    data = exported.path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def test_a_bundle_and_its_manifest(exported):
    assert exported.verification.worst > 50
    assert list(exported.verification.psnr) == ["1x9x13x3", "2x5x3x3"]
    assert "ran the plan and not the machine code" in exported.verification.runtime
    manifest = json.loads(exported.manifest.read_text())
    content = exported.path.read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["architectures"] == ["sm_80", "sm_90"]
    assert manifest["made_by"]["triton"]
    assert str(Path.cwd()).encode() not in content  # nor any other path of this machine
    assert b".py" not in content


def test_the_file_holds_all_that_its_plan_names(exported, model):
    tensors = load_file(exported.path)  # it is a safetensors file to others, too
    graph, plan, metadata = bundle_file.read_header(exported.path)
    assert graph == needed(load_bundle(model).graph.given(["image"]), ["picture"])
    assert plan.precision == "fp16"
    assert set(plan.programs) == {80, 90}
    assert metadata["source"]
    items = {"sample": 4, "feature": 2, "flag": 4}
    named = set()
    for program in plan.programs.values():
        for kernel in program.kernels:
            assert bytes(tensors[kernel.cubin][:4]) == b"\x7fELF"
            assert kernel.threads % 32 == 0
            named.add(kernel.cubin)
        assert [kind for kind, _ in program.buffers[:4]] == ["sample", "sample", "flag", "feature"]
        for number, _, arguments in [*program.launches["u8"], *program.launches["fp32"]]:
            kernel = program.kernels[number]
            for argument, (_, kind, alignment) in zip(arguments, kernel.parameters, strict=True):
                if kind[0] == "*":
                    place, offset = argument
                    item = items.get(program.buffers[place][0]) if isinstance(place, int) else None
                    if item is None:
                        weight = tensors[place]
                        assert weight.dtype == {"*fp16": np.float16, "*fp32": np.float32}[kind]
                        assert offset < weight.size
                        item = weight.itemsize
                        named.add(place)
                    assert offset * item % alignment == 0
    assert named == set(tensors)


def test_features_a_picture_and_a_map(gpu_features):
    """Verified: on bytes and floats alike, all outputs are the reference's."""
    assert gpu_features.verification.worst > 50
    graph, plan, _ = bundle_file.read_header(gpu_features.path)
    assert list(graph.outputs) == ["features.0", "features.1", "picture", "attention.0"]
    program = plan.programs[90]
    kinds = ["sample", "number", "number", "sample", "number", "flag"]
    assert [kind for kind, _ in program.buffers[:6]] == kinds
    values = dict(zip(NAMES, (2, 9, 13, 132), strict=True))
    sizes = [2 * 9 * 13 * 3, 2 * 9 * 13 * 32, 2 * 5 * 7 * 48, 2 * 18 * 26 * 3]
    assert program.elements(values)[:5] == [*sizes, 2 * 9 * 13 * 2 * 64]  # two heads


def test_two_pictures(gpu_pictures):
    """Verified on pictures of different sizes, each of which has names of its own."""
    assert gpu_pictures.verification.worst > 50
    graph, plan, _ = bundle_file.read_header(gpu_pictures.path)
    assert list(graph.inputs) == ["image", "style"]
    assert list(graph.outputs) == ["tokens", "stylized"]
    program = plan.programs[90]
    kinds = ["sample", "sample", "number", "sample", "flag"]
    assert [kind for kind, _ in program.buffers[:5]] == kinds
    values = {"N": 2, "H0": 9, "W0": 13, "H1": 8, "W1": 16, "P": 132}
    tokens = graph.values["style.tokens"]
    sizes = [2 * 9 * 13 * 3, 2 * 8 * 16 * 3, 2 * np.prod(tokens.grid.size(8, 16)) * tokens.channels]
    assert program.elements(values)[:4] == [*sizes, 2 * 9 * 13 * 3]


def test_a_network_of_others(tmp_path):
    """A border, means over the picture as weights of channels, and a transposed convolution.

    What parts of the picture add up to lies in floats between two launches.
    """
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    b.add("pad", "wider", "image", margin=1, padding="edge")
    b.add("convolution", "x", "wider", tensors={"weight": "a"}, channels=16, kernel=3,
          padding="valid", activation="leaky_relu", slope=0.1)  # fmt: skip
    b.add("reduce", "mean", "x", function="mean", over="picture")
    b.add("convolution", "weights", "mean", tensors={"weight": "b"}, channels=16, kernel=1,
          activation="sigmoid")  # fmt: skip
    b.add("product", "y", "x", "weights")
    b.add("transposed_convolution", "z", "y", tensors={"weight": "c"}, channels=3, kernel=4)
    b.outputs["picture"] = Output("z", True)
    graph, rng = b.graph(), np.random.default_rng(0)
    tensors = {
        name: (rng.standard_normal(shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32)
        for name, shape in graph.tensors.items()
    }
    save_bundle(Bundle(graph, tensors, {"task": "upscale"}), tmp_path / "network.safetensors")
    found = export(
        tmp_path / "network.safetensors", "bundle", tmp_path / "a.safetensors",
        ExportOptions("fp16", arch=(90,)),
    )  # fmt: skip
    assert found.verification.worst > 50
    _, plan, _ = bundle_file.read_header(found.path)
    kinds = [kind for kind, _ in plan.programs[90].buffers]
    assert kinds[:3] == ["sample", "sample", "flag"]
    assert sorted(set(kinds[3:])) == ["feature", "number"]


def test_offsets_lie_in_their_buffers(exported):
    _, plan, _ = bundle_file.read_header(exported.path)
    for program in plan.programs.values():
        for samples, shape in (("u8", (1, 1, 1)), ("fp32", (3, 37, 53)), ("u8", (2, 101, 7))):
            values = dict(zip(NAMES, (*shape, 132), strict=True))
            elements = program.elements(values)
            for call in program.calls(samples, values):
                for where, value in call.arguments:
                    assert not isinstance(where, int) or value < elements[where]


def test_the_same_bytes_every_time(exported, model, tmp_path):
    again = export(
        model,
        "bundle",
        tmp_path / "a.safetensors",
        ExportOptions("fp16", arch=(80, 90)),
        verified=False,
    )
    assert again.path.read_bytes() == exported.path.read_bytes()


def test_a_plan_that_is_wrong_is_noticed(exported, header, model, tmp_path, monkeypatch):
    """Any one argument that is another's: the verification sees it."""
    from imagen_fast.export.bundle_format import KernelBundle

    def wrong(self, bundle, options, **how):
        data = exported.path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        plan = json.loads(header["__metadata__"]["plan"])
        del plan["programs"]["80"]
        for launches in plan["programs"]["90"]["launches"].values():
            (*_, last) = launches
            last[2][0] = [3, 0] if last[2][0] != [3, 0] else [4, 0]  # what it reads
        header["__metadata__"]["plan"] = json.dumps(plan)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    monkeypatch.setattr(KernelBundle, "make", wrong)
    with pytest.raises(ExportError, match="the export is wrong"):
        export(model, "bundle", tmp_path / "a.safetensors", ExportOptions("fp16", arch=(90,)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ExportOptions("bf16", arch=(75,)), "no architecture sm_75; choose from sm_80, sm_86"),
        (ExportOptions("bf16", shape=(8, 8)), "a bundle takes pictures of any size"),
        (ExportOptions("bf16", inputs=("x",)), "this model has no input 'x'; choose from image"),
        (ExportOptions("fp32"), "precision 'fp32'; expected bf16, fp16"),
    ],
)
def test_options_out_of_range(options, said, model, tmp_path):
    with pytest.raises(ExportError, match=said):
        export(model, "bundle", tmp_path / "a.safetensors", options)
    assert not list(tmp_path.iterdir())


def test_more_shared_memory_than_there_is():
    from imagen_fast.export.bundle_format import check_shared

    def plan(arch, kibibytes):
        return {"programs": {arch: {"kernels": [{"name": "a", "shared": kibibytes << 10}]}}}

    check_shared(plan("90", 227))
    with pytest.raises(ExportError, match="a takes 233472 bytes of shared memory; sm_90 has 227"):
        check_shared(plan("90", 228))


def gpu(capability, shared=227 << 10):
    return Gpu(0, "a GPU", capability, shared)


@pytest.mark.parametrize(
    ("found", "arch"),
    [
        (gpu(80), 80), (gpu(86), 80), (gpu(90), 90), (gpu(75), None), (gpu(100), None),
        (gpu(89), 80), (gpu(103), None),
    ],
)  # fmt: skip
def test_which_gpus_run_it(found, arch, exported):
    runs, why = bundle_check.can_run(exported.path, [found])
    assert runs == (arch is not None)
    if runs:
        assert why == f"cuda:0, a GPU (sm_{found.capability}) runs its kernels for sm_{arch}"
    else:
        assert f"are for sm_80, sm_90; export it with --arch sm_{found.capability}" in why


def test_a_gpu_with_little_shared_memory(exported):
    runs, why = bundle_check.can_run(exported.path, [gpu(86, shared=4096)])
    assert not runs
    assert "bytes of shared memory, and a block has at most 4096; export it with --arch sm" in why


def test_only_the_header_is_read(exported, tmp_path):
    data = exported.path.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(data[: 8 + int.from_bytes(data[:8], "little")])
    assert bundle_check.can_run(cut, [gpu(90)])[0]


def test_doctor(exported, model):
    """On a machine without a driver, as this one is; without torch and triton."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['triton'] = None\n"
        "from imagen_fast.cli import main; main(sys.argv[1:])"
    )

    def doctor(path):
        line = [sys.executable, "-c", code, "doctor", str(path)]
        return subprocess.run(line, capture_output=True, text=True)

    done = doctor(exported.path)
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert done.returncode == 1
    assert done.stdout.startswith("does not run here: no NVIDIA driver is here")
    done = doctor(model)
    assert done.returncode == 1
    assert "a model without GPU kernels; `imagen-fast export MODEL --format bundle`" in done.stderr


def test_elsewhere_it_is_refused_with_what_it_is(exported):
    with pytest.raises(WeightsError, match="holds GPU kernels"):
        load_bundle(exported.path)


def put(place, value):
    """Change a plan: the path to a value, and what takes its place."""

    def change(plan):
        *way, last = place
        for key in way:
            plan = plan[key]
        plan[last] = value

    return change


PROGRAM = ("programs", "90")
KERNEL = (*PROGRAM, "kernels", 0)
WRONG = {
    "a number as plan": 5,
    "no programs": put(("programs",), {}),
    "an architecture that is no number": put(("programs", "ninety"), {}),
    "another precision": put(("precision",), "int4"),
    "a field more": put(("comment",), ""),
    "kernels that are none": put((*PROGRAM, "kernels"), 7),
    "a kernel that is none": put(KERNEL, []),
    "shared memory that is no number": put((*KERNEL, "shared"), "1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_plans(case, header):
    """As far as `can_run` reads; the rest the runtime looks at, see test_gpu.py."""
    change = WRONG[case]
    plan = json.loads(header["__metadata__"]["plan"])
    bundle_plan.parse(json.dumps(plan))
    if callable(change):
        change(plan)
    else:
        plan = change
    with pytest.raises(WeightsError):
        bundle_plan.parse(json.dumps(plan))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a safetensors file: it is empty"),
        (b"\xff" * 9, "not a safetensors file, or damaged"),
        (b"\x04" + bytes(7) + b"null", "a file without metadata"),
        (b"\x02" + bytes(7) + b"[]", "a file without metadata"),
        (b"\x06" + bytes(7) + b"[1,2,3", "not a safetensors file, or damaged"),
        (b"\x10\x27" + bytes(6) + b"[" * 10000, "not a safetensors file, or damaged"),
    ],
)
def test_files_that_are_none(data, said, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"x.safetensors: {said}"):
        bundle_file.read_header(path)


def test_a_newer_version(header):
    metadata = header["__metadata__"] | {"format": "imagen-fast-cuda-5"}
    with pytest.raises(WeightsError, match="its format is 'imagen-fast-cuda-5'; expected"):
        bundle_file.read_metadata(metadata)


def test_heads_wider_than_the_kernels_take(bundle_of, tmp_path):
    spec = ModelSpec(scale=2, levels=(Level(160, convs=1),), head_dim=160)
    path = tmp_path / "wide.safetensors"
    save_bundle(bundle_of(spec), path)
    with pytest.raises(ExportError, match="head_dim is 160; the kernels take up to 128"):
        export(path, "bundle", tmp_path / "a.safetensors", ExportOptions("fp16"))
