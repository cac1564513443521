"""`backward` and `grad`: seeds and arguments for the engine's walk."""

import warnings
from typing import NamedTuple

import numpy as np

from fastdl import _engine
from fastdl._engine import Node, TensorBase, tensor_of


class GradientEdge(NamedTuple):
    """Output `output_nr` of a node: stands for a tensor in `grad` and `backward`, without keeping
    it alive.
    """

    node: Node
    output_nr: int


def get_gradient_edge(tensor):
    """The GradientEdge through which gradients reach `tensor`; RuntimeError if none do."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    edge = _engine.edge_of(tensor)
    return GradientEdge(*edge)


def _one(value):
    return isinstance(value, (TensorBase, GradientEdge))


def _as_tuple(value):
    return (value,) if _one(value) else tuple(value)


def _seeds(roots, gradients, batched=False):
    """One gradient per root, checked, ones where None stands for a single element."""
    gradients = (
        [gradients] if isinstance(gradients, TensorBase) or gradients is None else list(gradients)
    )
    if len(gradients) == 1 and gradients[0] is None:
        gradients *= len(roots)
    if len(gradients) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(gradients)} gradients")
    return [_seed(i, root, g, batched) for i, (root, g) in enumerate(zip(roots, gradients))]


def _seed(i, root, g, batched):
    if not isinstance(root, TensorBase):
        if isinstance(root, GradientEdge):
            if not isinstance(g, TensorBase):
                raise RuntimeError(
                    f"element {i} of tensors is a GradientEdge: its gradient cannot be created "
                    "implicitly"
                )
            return g
        raise TypeError(f"element {i} of tensors: expected a Tensor, got {type(root).__name__}")
    if not root.requires_grad:
        raise RuntimeError(
            f"element {i} of tensors does not require grad and does not have a grad_fn"
        )
    array = root.array
    if g is None:
        if array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if array.dtype.kind == "c":
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {root.dtype}"
            )
        return tensor_of(np.ones_like(array))
    if not isinstance(g, TensorBase):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if g.array.shape[batched:] != array.shape:
        if batched:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                "as the batch dimension. The sizes of the remaining dimensions are expected to "
                f"match the shape of corresponding output, but a mismatch was detected: "
                f"grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of "
                f"{root.shape}."
            )
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a "
            f"shape of {root.shape}."
        )
    return g if g.array.dtype == array.dtype else g.to(root.dtype)


def backward(
    tensors,
    grad_tensors=None,
    retain_graph=None,
    create_graph=False,
    grad_variables=None,
    inputs=None,
):
    """Accumulate the gradients of `tensors` into `.grad` of the leaves (or of `inputs` only).

    grad_tensors: the gradients of some function of `tensors`, may be None for single elements.
    retain_graph keeps what the graph saved for another pass (default: create_graph). create_graph
    records the pass itself, for derivatives of higher order. grad_variables: the old name of
    grad_tensors.
    """
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.",
            FutureWarning,
            stacklevel=2,
        )
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to "
                "`backward()`. Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None:
        inputs = list(_as_tuple(inputs))
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = list(_as_tuple(tensors))
    seeds = _seeds(roots, grad_tensors)
    retain_graph = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _engine.backward(roots, seeds, retain_graph, create_graph)
        return
    _check_inputs(inputs)
    found = _engine.backward(roots, seeds, retain_graph, create_graph, inputs)
    with_mode = _engine.set_recording(create_graph)
    try:
        for x, g in zip(inputs, found):
            target = x.node.variable if isinstance(x, GradientEdge) else x
            if g is not None and target is not None:
                _engine.accumulate_grad(target, g)
    finally:
        _engine.set_recording(with_mode)


def _check_inputs(inputs):
    for x in inputs:
        if isinstance(x, GradientEdge):
            continue
        if not isinstance(x, TensorBase):
            raise TypeError(f"inputs: expected Tensors, got {type(x).__name__}")
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """Gradients of `outputs` for `inputs` (leaves or not), as a tuple; `.grad` is left alone.

    grad_outputs: gradients of some function of `outputs`. allow_unused: None stands for an input
    that the outputs do not depend on, which otherwise is an error; materialize_grads gives zeros
    for it. is_grads_batched: each of grad_outputs has one more dimension in front, and so have the
    results: one backward pass for each element of it.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    roots = list(_as_tuple(outputs))
    inputs = list(_as_tuple(inputs))
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    retain_graph = create_graph if retain_graph is None else retain_graph
    seeds = _seeds(roots, grad_outputs, is_grads_batched)
    _check_inputs(inputs)
    if is_grads_batched:
        found = _batched(roots, inputs, seeds, retain_graph, create_graph)
    else:
        found = _engine.backward(roots, seeds, retain_graph, create_graph, inputs)
    if materialize_grads:
        batch = seeds[0].array.shape[:1] if is_grads_batched else ()
        found = [
            tensor_of(np.zeros(batch + x.array.shape, x.array.dtype)) if g is None else g
            for x, g in zip(inputs, found)
        ]
    elif not allow_unused and any(g is None for g in found):
        number = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"The differentiated Tensor at index {number} appears to not have been used in the "
            "graph. Set allow_unused=True if this is the desired behavior."
        )
    return tuple(found)


def _batched(roots, inputs, seeds, retain_graph, create_graph):
    """`engine.backward` for each row of the seeds; results stacked."""
    from fastdl.ops.join import stack

    n = {len(g) for g in seeds}
    if len(n) != 1:
        raise ValueError(f"grad_outputs: expected one size of the batch, got {sorted(n)}")
    n = n.pop()
    rows = [
        _engine.backward(
            roots, [g[i] for g in seeds], retain_graph or i < n - 1, create_graph, inputs
        )
        for i in range(n)
    ]
    return [None if column[0] is None else stack(column) for column in zip(*rows)]
