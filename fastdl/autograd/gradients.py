"""`backward` and `grad`: seeds and arguments for the engine's walk."""

import numpy as np

from fastdl import _engine
from fastdl._engine import TensorBase, tensor_of


def _as_tuple(value):
    if value is None:
        return ()
    return (value,) if isinstance(value, TensorBase) else tuple(value)


def _seeds(roots, gradients):
    gradients = (
        [gradients] if isinstance(gradients, TensorBase) or gradients is None else list(gradients)
    )
    if len(gradients) == 1:
        gradients *= len(roots)
    if len(gradients) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(gradients)} gradients")
    seeds = []
    for i, (root, g) in enumerate(zip(roots, gradients)):
        if not isinstance(root, TensorBase):
            raise TypeError(f"element {i} of tensors: expected a Tensor, got {type(root).__name__}")
        if not root.requires_grad:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )
        array = root.array
        if g is None:
            if array.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = tensor_of(np.ones_like(array))
        elif not isinstance(g, TensorBase):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g.array.shape != array.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] "
                f"has a shape of {root.shape}."
            )
        elif g.array.dtype != array.dtype:
            g = g.to(root.dtype)
        seeds.append(g)
    return seeds


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None):
    """Accumulate the gradients of `tensors` into `.grad` of the leaves (or of `inputs` only).

    grad_tensors: the gradients of some function of `tensors`, may be None for single elements.
    retain_graph keeps what the graph saved for another pass (default: create_graph). create_graph
    records the pass itself, for derivatives of higher order.
    """
    roots = list(_as_tuple(tensors))
    seeds = _seeds(roots, grad_tensors)
    retain_graph = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _engine.backward(roots, seeds, retain_graph, create_graph)
        return
    inputs = list(_as_tuple(inputs))
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward` cannot be empty.")
    _check_inputs(inputs)
    found = _engine.backward(roots, seeds, retain_graph, create_graph, inputs)
    with_mode = _engine.set_recording(create_graph)
    try:
        for x, g in zip(inputs, found):
            if g is not None:
                _engine.accumulate_grad(x, g)
    finally:
        _engine.set_recording(with_mode)


def _check_inputs(inputs):
    for x in inputs:
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
    materialize_grads=False,
):
    """Gradients of `outputs` for `inputs` (leaves or not), as a tuple; `.grad` is left alone.

    grad_outputs: gradients of some function of `outputs`. allow_unused: None stands for an input
    that the outputs do not depend on, which otherwise is an error; materialize_grads gives zeros
    for it.
    """
    roots = list(_as_tuple(outputs))
    inputs = list(_as_tuple(inputs))
    seeds = _seeds(roots, grad_outputs)
    _check_inputs(inputs)
    retain_graph = create_graph if retain_graph is None else retain_graph
    found = _engine.backward(roots, seeds, retain_graph, create_graph, inputs)
    if materialize_grads:
        found = [
            tensor_of(np.zeros_like(x.array)) if g is None else g for x, g in zip(inputs, found)
        ]
    elif not allow_unused and any(g is None for g in found):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    return tuple(found)
