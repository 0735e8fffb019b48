"""The `imagen-fast` command: one file a command, loaded only when that command runs.

`--help` lists the commands from `COMMANDS` without importing any of them, so it needs click
and nothing else. Each module `imagen_fast.cli.<name>` calls its click command `command`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
import warnings
from typing import Any

import click

from imagen_fast._version import __version__
from imagen_fast.cli.streams import OutputLostError, prepared
from imagen_fast.errors import ImagenError
from imagen_fast.task import TASKS

COMMANDS = {
    "upscale": "Enlarge pictures, 4 times unless asked otherwise.",
    "restore": "Take noise, JPEG blocks and blur out of pictures; scratches: with --mask.",
    "stylize": "Draw pictures in the manner of a painting.",
    "generate": "Make pictures from nothing, or more like those in a folder.",
    "video": "Enlarge or restore a video, frame by frame.",
    "models": "List the models that are shipped.",
    "eval": "Measure PSNR and SSIM on a folder, beside bicubic.",
    "features": "Write what the encoder makes of pictures, to learn from.",
    "explain": "Write a page that shows what a model did with a picture.",
    "bench": "Measure speed and accuracy here, beside other runtimes and networks.",
    "import": "Make a model of somebody's network (ONNX, ncnn, PyTorch).",
    "export": "Write a model as a file for another runtime (ONNX, TensorRT).",
    "doctor": "Show what is installed, which backends work and what is missing.",
    "config": "Show what C and C++ programs need: folders, compiler and linker flags.",
    "train": "Train a model from a TOML configuration.",
}
_SILENT = logging.NullHandler()  # what Pillow logs it also raises
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class LazyGroup(click.Group):
    """The commands of `COMMANDS`, and the one place where errors become exit codes.

    An `ImagenError`, or an error of the system's, is one line on stderr and exit code 1, Ctrl-C
    exit code 130; wrong usage is click's own exit code 2; what becomes of lost output see
    `streams`. With `IMAGEN_FAST_DEBUG=1` tracebacks are shown.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None if there is no such command."""
        task = TASKS.get(cmd_name)
        if task is not None and task.inputs[:1] == ("image",):
            from imagen_fast.cli.pictures import command_for

            return command_for(task)
        if cmd_name not in COMMANDS:
            return None
        module = {"import": "import_network"}.get(cmd_name, cmd_name)  # the one is a keyword
        command = importlib.import_module(f"imagen_fast.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **options: Any) -> Any:
        """Run what the command line says, on standard streams of any condition."""
        with prepared():
            return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; see the class for what becomes of errors."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                # Of damaged metadata, which is left out, and for which users can do nothing.
                warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
                logging.getLogger("PIL").addHandler(_SILENT)
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except (ImagenError, OSError) as error:
            _show_traceback()
            click.echo(f"error: {_reason(error)}", err=True)
            ctx.exit(1)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OutputLostError):
            raise
        except Exception as error:
            _show_traceback()
            reason = f"{type(error).__name__}: {error}"
            click.echo(f"internal error: {reason} (IMAGEN_FAST_DEBUG=1 shows where)", err=True)
            ctx.exit(1)


def _warn(message: Warning | str, *where: object, **more: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _reason(error: Exception) -> str:
    """One line; of the system's errors (a full disk, a folder that may not be read) the file's."""
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error, FileNotFoundError) and not error.filename:
            return "the current folder is not there any more: change to another one"
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _show_traceback() -> None:
    if os.environ.get("IMAGEN_FAST_DEBUG") == "1":
        traceback.print_exc(file=sys.stderr)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imagen-fast", message="%(prog)s %(version)s")
def main() -> None:
    """Enlarge photographs with small neural networks, fast.

    \b
    imagen-fast upscale photo.jpg              writes photo_x4.png beside it
    imagen-fast upscale photos/ -o large/ -s 2
    """
