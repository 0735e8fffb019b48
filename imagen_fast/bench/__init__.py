"""How fast this is on a machine, against what else could be used there, at which accuracy.

`session.run` measures: every contestant in a process of its own (`contestant`, `worker`,
`runtimes/`), in turns, in a box of time (`schedule`), beside the machine's own limits
(`roofline`) and PyTorch's answer (`reference`). `record` is what comes out; `comparison` and
`page` read it.
"""
