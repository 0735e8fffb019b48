"""What the linker may take from the kernels that were compiled for one instruction set."""

import platform
import re
import shutil
import subprocess

import pytest

from imagen_fast import c_library

# The file of each set, and what makes the set: the only function that others may call.
MAKERS = {
    "set_generic.o": "imagen_fast::cpu::generic_fp32()",
    "set_avx2.o": "imagen_fast::cpu::avx2_fp32()",
    "set_avx512.o": "imagen_fast::cpu::avx512_fp32()",
    "set_avx512_widened.o": "imagen_fast::cpu::avx512_widened()",
    "set_avx512_bf16.o": "imagen_fast::cpu::avx512_bf16()",
    "set_amx_bf16.o": "imagen_fast::cpu::amx_bf16()",
}
# Data that the compiler adds to every file that cleans up after exceptions: no instructions.
EXCEPTIONS = "DW.ref.__gxx_personality_v0"


if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)


def binutils(tool: str, *options: str) -> str:
    """What a tool prints of the static library."""
    if not (found := shutil.which(tool)):
        pytest.skip(f"needs {tool} of the binutils")
    command = [found, *options, str(c_library.STATIC)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def defined() -> dict[str, dict[str, str]]:
    """The static library's symbols that other files can be linked with: file, name, kind."""
    listed = binutils("nm", "--demangle", "--defined-only", "--extern-only")
    found: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        if heading := re.fullmatch(r"(\S+\.o):", line):
            symbols = found.setdefault(heading[1], {})
        elif line:
            _, kind, name = line.split(" ", 2)
            symbols[name] = kind
    return found


@pytest.mark.parametrize("file", MAKERS)
def test_kernels_of_an_instruction_set_show_their_maker_alone(
    file: str, defined: dict[str, dict[str, str]]
) -> None:
    """Anything else might be linked into what runs on every processor, and end it with SIGILL."""
    assert {name for name in defined[file] if name != EXCEPTIONS} == {MAKERS[file]}


def test_there_are_no_other_instruction_sets(defined: dict[str, dict[str, str]]) -> None:
    assert {file for file in defined if file.startswith("set_")} == set(MAKERS)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="counts x86's registers")
def test_what_runs_on_every_processor_uses_no_wide_registers() -> None:
    """No file of the runtime is compiled for an instruction set."""
    listed = binutils("objdump", "--disassemble", "--no-show-raw-insn")
    wide: dict[str, bool] = {}
    for line in listed.splitlines():
        if heading := re.match(r"(\S+\.o): +file format", line):
            file = heading[1]
            wide[file] = False
        elif re.search(r"%[yz]mm\d", line):
            wide[file] = True
    assert wide["set_avx2.o"] or wide["set_avx512.o"]  # or else this looks for the wrong thing
    assert [file for file in wide if wide[file] and not file.startswith("set_")] == []
    assert not wide["set_generic.o"]
