"""`python -m imagen_fast` is the `imagen-fast` command."""

from imagen_fast.cli import main

main(prog_name="imagen-fast")
