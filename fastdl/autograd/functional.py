"""Derivatives of functions: jacobian, hessian, and products of them with vectors.

Each takes a function and its inputs, a Tensor or a tuple of them, and a `strict` flag: if set, an
output that does not depend on an input is an error; if not, its derivative is zero. create_graph
makes the results differentiable.
"""

import numpy as np

from fastdl._engine import TensorBase, tensor_of
from fastdl.autograd.grad_mode import enable_grad
from fastdl.autograd.gradients import grad
from fastdl.ops.join import stack
from fastdl.ops.shape import reshape, view

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tensors(value, what, function):
    """`value` as a tuple of Tensors, and was it one? TypeError naming the element that is none."""
    several = isinstance(value, tuple)
    values = value if several else (value,)
    for i, t in enumerate(values):
        if isinstance(t, TensorBase):
            continue
        if several:
            raise TypeError(
                f"The {what} {function} must be a Tensor or a tuple of Tensors but the value at "
                f"index {i} has type {type(t)}."
            )
        raise TypeError(
            f"The {what} {function} must be a Tensor or a tuple of Tensors but has type {type(t)}."
        )
    return values, several


def _inputs(inputs, function, recorded):
    """Inputs to differentiate by: fresh leaves, or views that belong to the caller's graph."""
    values, several = _tensors(inputs, "inputs given to", function)
    if recorded:
        return tuple([_view(t) if t.requires_grad else _leaf(t) for t in values]), several
    return tuple([_leaf(t) for t in values]), several


def _view(t):
    return view(t, t.array.shape)


def _leaf(t):
    return t.detach().requires_grad_()


def _call(func, inputs, function):
    return _tensors(func(*inputs), "outputs of the user-provided function given to", function)


def _zeros(t, shape=None):
    return tensor_of(np.zeros(t.array.shape if shape is None else shape, t.array.dtype))


def _vectors(v, like, several, what):
    """`v` as a tuple that matches the tensors of `like`."""
    values, _ = _tensors(v, "v given to", what)
    if len(values) != len(like):
        if several:
            raise RuntimeError(
                f"v is a tuple of invalid length: should be {len(like)} but got {len(values)}."
            )
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (one, t) in enumerate(zip(values, like)):
        if one.array.shape != t.array.shape:
            where = f"Entry {i} in " if several else ""
            raise RuntimeError(
                f"{where}v has invalid size: should be {t.shape} but got {one.shape}."
            )
    return values


def _default_vector(like, of):
    """A one for the single element of `like`, where v was not given."""
    if len(like) != 1 or like[0].array.size != 1:
        raise RuntimeError(
            f"The vector v can only be None if {of} a single Tensor with a single element."
        )
    return (tensor_of(np.ones_like(like[0].array)),)


def _grad(outputs, inputs, seeds, create_graph, retain=True):
    """`grad`, None where nothing depends on an input or requires grad."""
    used = [(y, g) for y, g in zip(outputs, seeds) if y is not None and y.requires_grad]
    if not used:
        return (None,) * len(inputs)
    ys, gs = zip(*used)
    return grad(ys, inputs, gs, retain or create_graph, create_graph, allow_unused=True)


def _filled(found, like, strict, message, create_graph):
    """`found` with zeros for None, which `strict` forbids with `message` (a function of i)."""
    for i, g in enumerate(found):
        if strict and (g is None or (create_graph and not g.requires_grad)):
            raise RuntimeError(message(i, g is None))
    return tuple([_zeros(x) if g is None else g for g, x in zip(found, like)])


def _results(tensors, several, create_graph):
    done = tuple([t if create_graph else t.detach() for t in tensors])
    return done if several else done[0]


def _check_strict(outputs):
    for i, y in enumerate(outputs):
        if not y.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The "
                "outputs must be computed in a differentiable manner from the input when running "
                "in strict mode."
            )


def _independent(what, order="user-provided function"):
    def message(i, absent):
        if absent:
            return f"The {what} of the {order} is independent of input {i}. This is not allowed " \
                   "in strict mode."  # fmt: skip
        return (
            f"The {what} of the {order} is independent of input {i}. This is not allowed in strict "
            "mode when create_graph=True."
        )

    return message


@enable_grad()
def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(*inputs), v^T J): the product of `v` with the Jacobian.

    v: of the shapes of the outputs; may be None for a single element. The product has the shapes of
    the inputs.
    """
    xs, several = _inputs(inputs, "vjp", create_graph)
    outputs, outputs_several = _call(func, xs, "vjp")
    if strict:
        _check_strict(outputs)
    if v is None:
        v = _default_vector(outputs, "the user-provided function returns")
    v = _vectors(v, outputs, outputs_several, "vjp")
    found = _grad(outputs, xs, v, create_graph)
    found = _filled(found, xs, strict, _independent("vjp"), create_graph)
    return (
        _results(outputs, outputs_several, create_graph),
        _results(found, several, create_graph),
    )


@enable_grad()
def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(*inputs), J v): the product of the Jacobian with `v`, by two backward passes.

    The gradient g(u) = u^T J is linear in u: its own gradient by u, along v, is J v. v: of the
    shapes of the inputs; may be None for a single element.
    """
    xs, several = _inputs(inputs, "jvp", create_graph)
    if v is None:
        v = _default_vector(xs, "the input to the user-provided function is")
    v = _vectors(v, xs, several, "jvp")
    outputs, outputs_several = _call(func, xs, "jvp")
    if strict:
        _check_strict(outputs)
    found = _push(outputs, xs, v, create_graph)
    found = _filled(found, outputs, strict, _independent("jvp"), create_graph)
    return (
        _results(outputs, outputs_several, create_graph),
        _results(found, outputs_several, create_graph),
    )


def _push(outputs, xs, v, create_graph):
    """J v for each output, None where there is no dependence."""
    dummies = tuple([_zeros(y).requires_grad_() for y in outputs])
    pulled = _grad(outputs, xs, dummies, True)
    return _grad(pulled, dummies, v, create_graph)


@enable_grad()
def jacobian(
    func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"
):
    """d func / d inputs: for output y and input x a Tensor of shape y.shape + x.shape.

    Tuples of outputs and of inputs give tuples, outputs first. One backward pass per element of the
    outputs, or with strategy='forward-mode', which asks for vectorize=True, two per element of the
    inputs. vectorize changes nothing else.

    >>> import fastdl as torch
    >>> torch.autograd.functional.jacobian(lambda x: x**2, torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError(
            f'strategy: expected "forward-mode" or "reverse-mode", but got: "{strategy}"'
        )
    if strict and vectorize:
        raise RuntimeError(
            "fastdl.autograd.functional.jacobian: `strict=True` and `vectorize=True` are not "
            "supported together. Please either set `strict=False` or `vectorize=False`."
        )
    xs, several = _inputs(inputs, "jacobian", create_graph)
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                'fastdl.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-'
                'mode"` are not supported together (yet). Please either set `create_graph=False` '
                'or `strategy="reverse-mode"`.'
            )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only "
                "implemented for `vectorize=True`."
            )
    outputs, outputs_several = _call(func, xs, "jacobian")
    if strict:
        _check_strict(outputs)
    build = _columns if strategy == "forward-mode" else _rows
    table = build(outputs, xs, create_graph, strict)
    rows = tuple([_results(row, several, create_graph) for row in table])
    return rows if outputs_several else rows[0]


def _one_hots(t):
    """For each element of `t`, a Tensor like it with a one there and zeros elsewhere."""
    for place in np.ndindex(t.array.shape):
        seed = np.zeros(t.array.shape, t.array.dtype)
        seed[place] = 1
        yield tensor_of(seed)


def _rows(outputs, xs, create_graph, strict):
    """[[d y / d x for x in xs] for y in outputs] by a backward pass for each element of y."""
    table = []
    for i, y in enumerate(outputs):

        def message(k, absent, i=i):
            if absent:
                return (
                    f"Output {i} of the user-provided function is independent of input {k}. This "
                    "is not allowed in strict mode."
                )
            return (
                f"The jacobian of the user-provided function is independent of input {k}. This is "
                "not allowed in strict mode when create_graph=True."
            )

        rows = [
            _filled(_grad((y,), xs, (seed,), create_graph), xs, strict, message, create_graph)
            for seed in _one_hots(y)
        ]
        table.append([
            reshape(stack(column), y.array.shape + x.array.shape)
            for column, x in zip(zip(*rows), xs)
        ] or [_zeros(x, y.array.shape + x.array.shape) for x in xs])  # fmt: skip
    return table


def _columns(outputs, xs, create_graph, strict):
    """The same by a product with each unit vector of the inputs."""
    table = [[] for _ in outputs]
    for x in xs:
        columns = []
        for seed in _one_hots(x):
            v = tuple([seed if other is x else _zeros(other) for other in xs])
            columns.append(_push(outputs, xs, v, create_graph))
        for i, y in enumerate(outputs):
            shape = y.array.shape + x.array.shape
            parts = [_zeros(y) if column[i] is None else column[i] for column in columns]
            table[i].append(reshape(stack(parts, dim=-1), shape) if parts else _zeros(y, shape))
    return table


def _single_output(func, function):
    def checked(*inputs):
        y = func(*inputs)
        ys, several = _tensors(y, "outputs of the user-provided function given to", function)
        if several:
            raise RuntimeError(f"The function given to {function} should return a single Tensor")
        if ys[0].array.size != 1:
            raise RuntimeError(
                f"The Tensor returned by the function given to {function} should contain a single "
                "element"
            )
        return reshape(y, ())

    return checked


@enable_grad()
def hessian(
    func,
    inputs,
    create_graph=False,
    strict=False,
    vectorize=False,
    outer_jacobian_strategy="reverse-mode",
):
    """Second derivatives of a function with one element: for inputs a and b a Tensor of shape
    a.shape + b.shape.

    A tuple of inputs gives a tuple of tuples. RuntimeError if func returns more than one element.
    vectorize, outer_jacobian_strategy: as for `jacobian`.
    """
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError(
            'outer_jacobian_strategy: expected "forward-mode" or "reverse-mode", but got: '
            f'"{outer_jacobian_strategy}"'
        )
    _, several = _tensors(inputs, "inputs given to", "hessian")
    checked = _single_output(func, "hessian")

    def gradient(*xs):
        if outer_jacobian_strategy == "forward-mode":
            xs = tuple([_view(x) for x in xs])
        found = jacobian(checked, xs, create_graph=True, strict=strict)
        if not strict:
            return found
        for k, g in enumerate(found):
            if not g.requires_grad:
                raise RuntimeError(
                    "The jacobian of the user-provided function with respect to input "
                    f"{k} is independent of the input. This is not allowed in strict mode. You "
                    "should ensure that your function is thrice differentiable in strict mode."
                )
        return found

    table = jacobian(
        gradient,
        inputs if several else (inputs,),
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )
    return table if several else table[0][0]


@enable_grad()
def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(*inputs), v^T H): the product of `v` with the Hessian of a function with one element.

    v: of the shapes of the inputs; may be None for a single element.
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


@enable_grad()
def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(*inputs), H v); the Hessian is symmetric, so this is `vhp`, which needs one backward
    pass less than the product from the other side.
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(name, func, inputs, v, create_graph, strict):
    xs, several = _inputs(inputs, name, create_graph)
    if v is None:
        v = _default_vector(xs, "the input to the user-provided function is")
    v = _vectors(v, xs, several, name)
    y = _single_output(func, name)(*xs)
    if strict:
        _check_strict((y,))
    slopes = _grad((y,), xs, (None,), True)
    slopes_or_zeros = _filled(slopes, xs, strict, _independent("jacobian"), True)
    found = _grad(slopes_or_zeros, xs, v, create_graph)
    found = _filled(found, xs, strict, _independent("hessian"), create_graph)
    return _results((y,), False, create_graph), _results(found, several, create_graph)
