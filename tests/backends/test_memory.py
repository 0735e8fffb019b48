"""How much memory is free, as control groups of either version tell it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_fast.backends import memory

MB = 1 << 20
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file of a machine without control groups; `own` is /proc/self/cgroup."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "own")

    def into(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    return into


def group(write: Write, folder: str, limit: int, used: int, cached: int) -> None:
    write(f"{folder}memory.max", f"{limit * MB}\n")
    write(f"{folder}memory.current", f"{used * MB}\n")
    write(f"{folder}memory.stat", f"anon 5\ninactive_file {cached * MB}\nactive_file 7\n")


def test_a_machine_has_memory() -> None:
    assert MB < memory.available() < 1 << 50


def test_cached_files_are_available(write: Write) -> None:
    write("own", "0::/\n")
    group(write, "", 10, 9, 6)
    assert memory.available() == 7 * MB


@pytest.mark.parametrize(("inner", "expected"), [(4, 3 * MB), (20, 5 * MB)])
def test_the_tightest_group_counts(write: Write, inner: int, expected: int) -> None:
    write("own", "0::/user/own\n")
    group(write, "user/own/", inner, 1, 0)
    group(write, "user/", 8, 3, 0)
    write("memory.max", "max\n")
    write("memory.current", "9\n")
    assert memory.available() == expected


def test_a_group_of_the_host_leads_to_the_top(write: Write) -> None:
    """Without a name space for groups a container sees names that it cannot open."""
    write("own", "0::/docker/0123\n")
    group(write, "", 10, 4, 0)
    assert memory.available() == 6 * MB


def test_version_1(write: Write) -> None:
    write("own", "5:cpu,cpuacct:/\n4:memory:/own\n0::/\n")
    write("memory/own/memory.limit_in_bytes", f"{10 * MB}\n")
    write("memory/own/memory.usage_in_bytes", f"{8 * MB}\n")
    write("memory/own/memory.stat", f"inactive_file 1\ntotal_inactive_file {MB}\n")
    assert memory.available() == 3 * MB
