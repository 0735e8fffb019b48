"""The `imagen-fast` command, which `python -m imagen_fast` is too."""

import signal


def main() -> None:
    """Run it. While it is being loaded there is nothing to clean up: Ctrl-C ends it, wordless."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imagen_fast.cli import main as command

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command(prog_name="imagen-fast")


if __name__ == "__main__":
    main()
