"""How fast this is on a machine, beside what else could be used there, and how accurate.

`session.run` measures: every contestant (`runtimes`) in a process of its own (`worker`), checked
first (`check`), then timed in turns (`timing`). `record` is what is kept of it, `table` what is
shown. The scripts of benchmarks/ measure by the same parts.
"""
