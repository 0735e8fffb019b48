"""How much memory is free, as control groups of either version tell it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_fast.backends import memory

native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

MB = 1 << 20
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of a machine that says nothing else of its memory; `own` names our groups."""

    def into(name: str, text: str) -> None:
        path = tmp_path / ("proc/self/cgroup" if name == "own" else f"sys/fs/cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return into


@pytest.fixture
def available(tmp_path: Path) -> Callable[[], int]:
    return lambda: native.available_memory(str(tmp_path))


def group(write: Write, folder: str, limit: int, used: int, cached: int) -> None:
    write(f"{folder}memory.max", f"{limit * MB}\n")
    write(f"{folder}memory.current", f"{used * MB}\n")
    write(f"{folder}memory.stat", f"anon 5\ninactive_file {cached * MB}\nactive_file 7\n")


@pytest.mark.parametrize("built", [True, False])
def test_a_machine_has_memory(built: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not built:
        monkeypatch.setitem(sys.modules, "imagen_fast._native", None)
    assert MB < memory.available() < 1 << 50


def test_the_kernels_estimate_counts(tmp_path: Path, available: Callable[[], int]) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:   5120 kB\n")
    assert available() == 5 * MB


def test_cached_files_are_available(write: Write, available: Callable[[], int]) -> None:
    write("own", "0::/\n")
    group(write, "", 10, 9, 6)
    assert available() == 7 * MB


@pytest.mark.parametrize(("inner", "expected"), [(4, 3 * MB), (20, 5 * MB)])
def test_the_tightest_group_counts(
    write: Write, available: Callable[[], int], inner: int, expected: int
) -> None:
    write("own", "0::/user/own\n")
    group(write, "user/own/", inner, 1, 0)
    group(write, "user/", 8, 3, 0)
    write("memory.max", "max\n")
    write("memory.current", "9\n")
    assert available() == expected


def test_a_group_of_the_host_leads_to_the_top(write: Write, available: Callable[[], int]) -> None:
    """Without a name space for groups a container sees names that it cannot open."""
    write("own", "0::/docker/0123\n")
    group(write, "", 10, 4, 0)
    assert available() == 6 * MB


def test_version_1(write: Write, available: Callable[[], int]) -> None:
    write("own", "5:cpu,cpuacct:/\n4:memory:/own\n0::/\n")
    write("memory/own/memory.limit_in_bytes", f"{10 * MB}\n")
    write("memory/own/memory.usage_in_bytes", f"{8 * MB}\n")
    write("memory/own/memory.stat", f"inactive_file 1\ntotal_inactive_file {MB}\n")
    assert available() == 3 * MB
