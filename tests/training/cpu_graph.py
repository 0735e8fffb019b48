"""A CUDA graph's double on the CPU: operations on the same memory again, and no Python between."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# What a recording refuses on a GPU: a number that the host waits for, a constant of the host.
REFUSED = {"aten::_local_scalar_dense", "aten::nonzero", "aten::lift_fresh"}


def tensors(x):
    return [t for t in tree_flatten(x)[0] if isinstance(t, torch.Tensor)]


def memory(x):
    return {t.untyped_storage().data_ptr() for t in tensors(x)}


class CpuGraph(TorchDispatchMode):
    """Implements `update.Recorder`."""

    def __init__(self):
        super().__init__()
        self.calls, self.replays = [], 0
        self._own, self._before = [], []  # tensors made here; others, and what they held

    def run(self, work):
        work()

    def record(self, work):
        with self:
            work()
        with torch.no_grad():
            for tensor, value in reversed(self._before):  # a recording does nothing
                tensor.copy_(value)

    def replay(self):
        self.replays += 1
        with torch.no_grad():
            for call in self.calls:
                call()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        if function._schema.name in REFUSED:
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}")
        writes = [a.alias_info is not None and a.alias_info.is_write
                  for a in function._schema.arguments]  # fmt: skip
        if any(writes):
            names = [a.name for a in function._schema.arguments]
            given = dict(zip(names, arguments, strict=False)) | options
            for name, write in zip(names, writes, strict=True):
                for x in tensors(given.get(name)) if write else ():
                    if not memory(x) & memory(self._own):
                        self._before.append((x, x.clone()))
        out = function(*arguments, **options)
        if any(writes):
            self.calls.append(lambda: function(*arguments, **options))
        elif not memory(out) & memory((arguments, options)):  # not a view

            def again():
                for old, new in zip(tensors(out), tensors(function(*arguments, **options)),
                                    strict=True):  # fmt: skip
                    old.copy_(new)

            self._own += tensors(out)
            self.calls.append(again)
        return out
