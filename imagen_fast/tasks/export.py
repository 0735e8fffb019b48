"""Export a model to a file of another runtime's, verified before it appears."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagen_fast import atomic, backends, catalogue
from imagen_fast.backends import Backend
from imagen_fast.errors import ExportError
from imagen_fast.export import formats, manifest
from imagen_fast.export.formats import Say
from imagen_fast.export.options import ExportOptions, chosen
from imagen_fast.export.verify import Verification, verify
from imagen_fast.model_file import load_model, read_header
from imagen_fast.tasks.whole_file import check_place

# Whose answer in fp32 is the truth: the reference's, or the native engine's, which is held to it.
REFERENCES = {"eager": "the reference (PyTorch, fp32)", "native": "the native engine (fp32)"}


@dataclass(frozen=True)
class Exported:
    """What came of it: the file, its manifest, its bytes, and how accurate it is, if verified."""

    path: Path
    manifest: Path
    size: int
    verification: Verification | None


def export(
    model: str | os.PathLike[str],
    kind: str = "onnx",
    output: str | os.PathLike[str] | None = None,
    options: ExportOptions | None = None,
    *,
    verified: bool = True,
    picture: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    say: Say = lambda text: None,
) -> Exported:
    """Write a model as a file of format `kind`, and a manifest beside it.

    The file appears only when its output was compared with the reference's; whatever goes wrong,
    KeyboardInterrupt too, nothing is left, and an older file stays as it was.

    Args:
        model: a shipped model's name or a bundle's path.
        kind: a name of `imagen_fast.export.formats.FORMATS`.
        output: the file, which ends in one of the format's suffixes; named after the model, in the
            current folder, if None.
        options: what the file is to be; see there. The format's usual ones if None.
        verified: whether to compare at all.
        picture: a photograph to compare on, in place of the one that comes with the package.
        overwrite: replace a file that exists.
        say: told what is going on.

    Raises:
        ExportError: unknown format, or options that are not for it or the model; something is
            missing here; the file exists or cannot be written; or its output is wrong.
        WeightsError: no such model, or it is damaged.
        ImageError: the picture cannot be read.
    """
    form = formats.find(kind)
    options = options or ExportOptions(form.precision)
    check(model, kind, output, options)
    source = catalogue.resolve(model)
    target = Path(output) if output is not None else Path(source.stem + form.suffix)
    check_place(target, ("",), overwrite, ExportError, [source])
    check_place(beside := manifest.path_beside(target), ("",), overwrite, ExportError)
    if missing := form.missing(verify=verified):
        raise ExportError(f"cannot export to {kind}: {missing}")
    bundle = load_model(source)
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    data = form.make(bundle, options, checksum=checksum, say=say)
    found = None
    if verified:
        say("comparing its output with the reference's")
        backend, title = _reference(source)
        try:
            graph = chosen(bundle.graph, options)
            outputs = list(graph.outputs)
            found = verify(
                graph,
                options,
                run=form.runner(data, bundle.graph, options),
                reference=(lambda given: backend.run(given, outputs), title),
                picture=None if picture is None else Path(picture),
                shapes=form.shapes,
            )
        finally:
            backend.close()
    text = manifest.render(
        kind=kind,
        file=target,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        bundle=bundle,
        checksum=checksum,
        options=options,
        facts=form.facts(bundle.graph, options),
        libraries=form.libraries,
        verification=found,
    )
    _write(target, data, beside, text.encode(), overwrite)
    return Exported(target, beside, len(data), found)


def check(
    model: str | os.PathLike[str],
    kind: str,
    output: str | os.PathLike[str] | None,
    options: ExportOptions,
) -> None:
    """Raise ExportError for a name or options that are not for the format or the model.

    Only the model's header is read. Raises WeightsError as `export` does.
    """
    form = formats.find(kind)
    if output is not None and not Path(output).is_dir():
        _check_name(Path(output), form)
    graph = read_header(catalogue.resolve(model)).graph
    if not form.missing(verify=False):  # who checks options may be what is missing
        form.check(options, graph)


def _check_name(target: Path, form: formats.Format) -> None:
    name = target.name.lower()
    if name.endswith(form.suffixes):
        return
    others = [kind for kind in formats.FORMATS if name.endswith(formats.find(kind).suffixes)]
    hint = f", or --format {others[0]}" if others else ""
    raise ExportError(
        f"{target}: the format {form.name} is written to names that end in "
        f"{' or '.join(form.suffixes)}; expected such a name{hint}"
    )


def _reference(source: Path) -> tuple[Backend, str]:
    """What says what the output ought to be, and its name."""
    reasons = []
    for name, title in REFERENCES.items():
        found = backends.backend_class(name)
        missing = found.missing()
        if missing is None:
            return found(load_model(source), device="cpu", precision="fp32"), title
        reasons.append(f"{name}: {missing}")
    raise ExportError(f"nothing here can verify the export ({'; '.join(reasons)})")


def _write(target: Path, data: bytes, beside: Path, text: bytes, overwrite: bool) -> None:
    """Both files or none: a manifest never tells of a file that is not there."""
    parts: list[atomic.Part] = []
    with ExitStack() as stack:
        stack.enter_context(atomic.refused_as(ExportError, target))
        for path, content in ((target, data), (beside, text)):
            parts.append(atomic.Part(path, replace=overwrite))
            stack.callback(parts[-1].discard)
            parts[-1].file.write(content)
        if overwrite:
            beside.unlink(missing_ok=True)  # of the file that is replaced
        parts[0].publish(synced=True)
        try:
            parts[1].publish(synced=True)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
