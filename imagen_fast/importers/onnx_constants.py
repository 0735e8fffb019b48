"""What an ONNX graph computes of constants alone, sizes of pictures among them."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from imagen_fast.errors import OperationError
from imagen_fast.importers.assembly import Array
from imagen_fast.importers.onnx_model import Node

MOST_NUMBERS = 1 << 26

ELEMENTWISE = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Neg", "Abs", "Sqrt"),
        *("Reciprocal", "Exp", "Log", "Floor", "Ceil", "Round", "Sign", "Equal", "Greater"),
        *("Less", "GreaterOrEqual", "LessOrEqual", "Not", "And", "Or", "Where", "Cast"),
        *("Clip", "Relu", "Sigmoid", "Tanh", "Erf"),
    )
)
OTHERS = frozenset(
    (
        *("Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Reshape"),
        *("Transpose", "Identity", "Flatten", "Split", "ReduceProd", "ReduceSum", "ReduceMean"),
        *("ReduceMax", "ReduceMin", "CumSum", "ScatterND", "MatMul", "Softmax"),
    )
)
GROWING = frozenset(("ConstantOfShape", "Expand", "Tile", "Range"))


def computed(node: Node, inputs: list[Array | None], opset: int) -> list[Array]:
    """What a node gives. Raises OperationError: unknown, wrong, or too large."""
    if node.kind not in ELEMENTWISE | OTHERS | GROWING:
        raise OperationError("this operator is not known")
    _check_size(node, inputs)
    given = {f"i{i}": x for i, x in enumerate(inputs) if x is not None}
    outputs = [f"o{i}" for i in range(len(node.outputs))]
    attributes = {
        key: helper.make_tensor("t", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape, x.ravel())
        if isinstance(x, np.ndarray)
        else x
        for key, x in node.attributes.items()
    }
    names = [f"i{i}" if x is not None else "" for i, x in enumerate(inputs)]
    made = helper.make_node(node.kind, names, outputs, **attributes)
    kind = TensorProto.UNDEFINED
    graph = helper.make_graph(
        [made],
        "constant",
        [helper.make_tensor_value_info(name, kind, None) for name in given],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, given)
    except Exception as error:  # whatever a wrong node makes of it
        raise OperationError(" ".join(str(error).split())[:150]) from error
    return [np.asarray(x) for x in results]


def _check_size(node: Node, inputs: list[Array | None]) -> None:
    arrays = [x for x in inputs if x is not None]
    if node.kind in ELEMENTWISE:
        shapes = [x.shape for x in arrays]
        axes = max(map(len, shapes), default=0)
        size = prod(
            max((s[-i] for s in shapes if len(s) >= i), default=1) for i in range(1, axes + 1)
        )
    elif node.kind in ("ConstantOfShape", "Expand"):
        sides = arrays[-1].ravel().tolist() if arrays else []
        size = prod(max(1, int(side)) for side in sides[:8])
        size *= arrays[0].size if node.kind == "Expand" else 1
    elif node.kind == "Tile":
        size = arrays[0].size * prod(max(1, int(n)) for n in arrays[-1].ravel()[:8])
    elif node.kind == "Range":
        start, stop, step = (float(x.item()) for x in arrays) if len(arrays) == 3 else (0, 0, 1)
        size = int(abs(stop - start) / max(abs(step), 1e-6))
    elif node.kind == "MatMul":
        size = prod(x.size for x in arrays) if sum(x.size for x in arrays) > 1 << 20 else 0
    else:
        size = sum(x.size for x in arrays)
    if size > MOST_NUMBERS or any(x.ndim > 8 for x in arrays):
        raise OperationError(f"a constant of {size} numbers; expected {MOST_NUMBERS} at most")
