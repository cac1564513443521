"""Functions made of functions: gradients, products with Jacobians, Jacobians.

Each runs the function once on fresh inputs, which are recorded (`_Run`), and asks the graph. They
nest: the fresh input of an inner transform is a view of that of the outer one, so the outer one
sees through. Results belong to a graph only if they depend on tensors outside that require grad.
"""

import numpy as np

from fastdl import _engine
from fastdl._engine import TensorBase, tensor_of
from fastdl.autograd import enable_grad
from fastdl.autograd.gradients import grad as gradients
from fastdl.func.batching import add_levels, base, like, match_levels
from fastdl.func.pytree import flatten, same_form, tree_map, unflatten
from fastdl.ops.join import stack
from fastdl.ops.shape import reshape, view

__all__ = [
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]


def _zeros(t, shape=None):
    return tensor_of(np.zeros(t.array.shape if shape is None else shape, t.array.dtype))


class _Run:
    """One call of `func` whose inputs in `trees` (a tuple) are fresh and recorded.

    xs, ys: the Tensors of inputs and outputs; free: do the outputs depend on no other leaf?
    """

    def __init__(self, name, func, trees, call, has_aux=False):
        self.recording = _engine.is_grad_enabled()
        leaves, self.input_spec = flatten(trees)
        for x in leaves:
            if not isinstance(x, TensorBase):
                raise RuntimeError(
                    f"{name}: expected inputs to be Tensors, but got {type(x).__name__}"
                )
        with enable_grad():
            self.xs = [self.fresh(x) for x in leaves]
            out = func(*call(unflatten(self.xs, self.input_spec)))
        self.aux = None
        if has_aux:
            if not (isinstance(out, tuple) and len(out) == 2):
                raise RuntimeError(
                    f"{name}(f)(*args): output of function f should be a tuple: (output, aux) if "
                    "has_aux is True"
                )
            out, self.aux = out
        self.out = out
        self.ys, self.output_spec = flatten(out)
        for y in self.ys:
            if not isinstance(y, TensorBase):
                raise RuntimeError(
                    f"{name}(f, *primals): Expected f(*primals) to return only tensors, got "
                    f"unsupported type {type(y)}"
                )
        self.own = {_engine.edge_of(base(x))[0] for x in self.xs if base(x).is_leaf}
        self.free = not self.recording or not self.depends(self.ys)

    def fresh(self, x):
        """Another tensor for `x`, to differentiate by; in vmap one for each example."""
        x = add_levels(x)
        held = base(x)
        if self.recording and held.requires_grad:
            return like(x, view(held, held.array.shape))
        return like(x, held.detach().requires_grad_())

    def depends(self, tensors):
        """Do the tensors depend on a leaf that is none of the fresh inputs?"""
        return not _engine.leaves_of([base(t) for t in tensors]) <= self.own

    def release(self, t):
        """`t`, detached if only the fresh inputs hold it in a graph."""
        if not isinstance(t, TensorBase) or not t.requires_grad:
            return t
        return t if self.recording and self.depends([t]) else t.detach()

    def released(self, tree):
        return tree_map(self.release, tree)

    def pull(self, seeds, create_graph=None):
        """Gradients of sum(seed * y): one per input."""
        if create_graph is None:
            create_graph = not self.free or any(g.requires_grad for g in seeds)
        found = self._gradients(self.ys, self.xs, seeds, create_graph)
        return [_zeros(x) if g is None else g for x, g in zip(self.xs, found)]

    def push(self, tangents):
        """Derivatives of the outputs along `tangents` of the inputs, by the gradient of `pull`,
        which is linear in the seeds, by the seeds.
        """
        if not hasattr(self, "seeds"):
            with enable_grad():
                self.seeds = [like(y, _zeros(base(y)).requires_grad_()) for y in self.ys]
                self.own |= {_engine.edge_of(base(g))[0] for g in self.seeds}
                self.pulled = self._gradients(self.ys, self.xs, self.seeds, True)
        keep = not self.free or any(v.requires_grad for v in tangents)
        found = self._gradients(self.pulled, self.seeds, tangents, keep)
        return [_zeros(y) if v is None else v for y, v in zip(self.ys, found)]

    @staticmethod
    def _gradients(outputs, inputs, seeds, create_graph):
        """Examples do not depend on one another: the gradient of the sum over a batch is that of
        each one."""
        used = [
            (base(y), base(match_levels(g, y)))
            for y, g in zip(outputs, seeds)
            if y is not None and y.requires_grad
        ]
        if not used:
            return [None] * len(inputs)
        ys, gs = zip(*used)
        held = [base(x) for x in inputs]
        found = gradients(ys, held, gs, True, create_graph, allow_unused=True)
        return [None if g is None else like(x, g) for x, g in zip(inputs, found)]


def _numbers(name, argnums, count):
    """`argnums` as a tuple of positions, counted from the front."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise RuntimeError(f"{name}: argnums must be non-empty")
    for n in numbers:
        if not isinstance(n, int):
            raise RuntimeError(f"argnum must be int, got: {type(n)}")
        if not -count <= n < count:
            raise RuntimeError(f"Got argnum={n}, but only {count} positional inputs")
    numbers = tuple([n % count for n in numbers])
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return numbers


def _run_by(name, func, argnums, args, kwargs, has_aux):
    """A _Run whose inputs are the arguments `argnums`."""
    numbers = _numbers(name, argnums, len(args))

    def call(trees):
        full = list(args)
        for n, tree in zip(numbers, trees):
            full[n] = tree
        return full

    def bound(*full):
        return func(*full, **kwargs)

    return _Run(name, bound, tuple([args[n] for n in numbers]), call, has_aux)


def _named(wrapper, func):
    wrapper.__name__ = getattr(func, "__name__", type(func).__name__)
    wrapper.__doc__ = getattr(func, "__doc__", None)
    wrapper.__wrapped__ = func
    return wrapper


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that returns (gradient, value) of `func`; with has_aux (gradient, (value, aux)).

    argnums: the number, or a tuple of numbers, of the arguments to differentiate by, Tensors or
    trees (dict, list, tuple) of them; the gradient has their form. func returns a 0-d Tensor, with
    has_aux a pair of one and anything. RuntimeError if it returns more than one element.
    """

    def wrapper(*args, **kwargs):
        run = _run_by("grad_and_value", func, argnums, args, kwargs, has_aux)
        if not isinstance(run.out, TensorBase):
            raise RuntimeError(
                "grad_and_value(f)(*args): Expected f(*args) to return a tensor, got type "
                f"{type(run.out)}"
            )
        if run.out.array.ndim:
            raise RuntimeError(
                "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor "
                f"with {run.out.array.ndim} dims. Did you forget to call sum()?"
            )
        found = run.pull([tensor_of(np.ones_like(run.out.array))])
        found = unflatten([run.release(g) for g in found], run.input_spec)
        value = run.release(run.out)
        found = found if isinstance(argnums, tuple) else found[0]
        return (found, (value, run.released(run.aux))) if has_aux else (found, value)

    return _named(wrapper, func)


def value_and_grad(func, argnums=0, has_aux=False):
    """`grad_and_value` with its results in the other order: (value, gradient)."""
    both = grad_and_value(func, argnums, has_aux)

    def wrapper(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return value, found

    return _named(wrapper, func)


def grad(func, argnums=0, has_aux=False):
    """A function that returns the gradient of `func`; with has_aux (gradient, aux).

    Arguments as for `grad_and_value`.

    >>> import fastdl as torch
    >>> from fastdl.func import grad
    >>> grad(grad(torch.sin))(torch.tensor(0.0))
    tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def wrapper(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return _named(wrapper, func)


def vjp(func, *primals, has_aux=False):
    """(func(*primals), vjp_fn); with has_aux (output, vjp_fn, aux).

    vjp_fn(*cotangents) takes gradients of some function of the outputs, in their form, and returns
    those of the primals as a tuple; it may be called any number of times.
    """
    run = _Run("vjp", func, primals, lambda trees: trees, has_aux)

    def vjp_fn(*cotangents, retain_graph=True, create_graph=None):
        given = cotangents if len(cotangents) != 1 or _is_one_tuple(run.out) else cotangents[0]
        if not same_form(given, run.out):
            given = cotangents
        if not same_form(given, run.out):
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of "
                "outputs to the function."
            )
        seeds = flatten(given)[0]
        for g, y in zip(seeds, run.ys):
            if g.array.shape != y.array.shape:
                raise RuntimeError(
                    f"Mismatch in shape: a cotangent has a shape of {g.shape} and its output a "
                    f"shape of {y.shape}."
                )
        found = run.pull(seeds, create_graph)
        return unflatten([_outside(run, g, seeds) for g in found], run.input_spec)

    output = run.released(run.out)
    return (output, vjp_fn, run.released(run.aux)) if has_aux else (output, vjp_fn)


def _is_one_tuple(out):
    return isinstance(out, tuple) and len(out) == 1


def _outside(run, g, seeds):
    """A result of `pull`: in a graph only through what stands outside of the run, or the seeds."""
    if any(s.requires_grad for s in seeds) and _engine.is_grad_enabled():
        return g
    return run.release(g)


def _check_tangents(name, primals, tangents):
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{name}(f, primals, tangents): Expected primals to be a tuple. E.g. it should be "
            "valid to call f(*primals)."
        )
    if not same_form(primals, tangents):
        raise RuntimeError(
            f"{name}(f, primals, tangents): Expected primals and tangents to have the same python "
            "structure."
        )
    for x, v in zip(flatten(primals)[0], flatten(tangents)[0]):
        if not isinstance(v, TensorBase) or x.array.shape != v.array.shape:
            raise RuntimeError(
                f"{name}(f, primals, tangents): Expected primals and tangents to have the same "
                f"shapes, got {getattr(x, 'shape', x)} and {getattr(v, 'shape', v)}"
            )


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """(func(*primals), derivative along tangents); with has_aux (output, derivative, aux).

    primals: a tuple of arguments; tangents: the same form and shapes. The derivative comes from two
    backward passes, see `autograd.functional.jvp`. strict is accepted: what does not depend on the
    primals has derivative 0.
    """
    _check_tangents("jvp", primals, tangents)
    run = _Run("jvp", func, primals, lambda trees: trees, has_aux)
    found = [_outside(run, v, flatten(tangents)[0]) for v in run.push(flatten(tangents)[0])]
    result = run.released(run.out), unflatten(found, run.output_spec)
    return (*result, run.released(run.aux)) if has_aux else result


def linearize(func, *primals):
    """(func(*primals), jvp_fn): jvp_fn(*tangents) is the derivative along tangents, from the graph
    of this one call.
    """
    run = _Run("linearize", func, primals, lambda trees: trees)

    def jvp_fn(*tangents):
        _check_tangents("linearize", primals, tangents)
        vs = flatten(tangents)[0]
        return unflatten([_outside(run, v, vs) for v in run.push(vs)], run.output_spec)

    return run.released(run.out), jvp_fn


def _unit_vectors(tensors):
    """(number of the tensor, list of Tensors like `tensors`: one element 1, all others 0)."""
    zeros = [_zeros(t) for t in tensors]
    for k, t in enumerate(tensors):
        for place in np.ndindex(t.array.shape):
            unit = _zeros(t)
            unit.array[place] = 1
            yield k, [*zeros[:k], unit, *zeros[k + 1 :]]


def _jacobian(name, func, argnums, has_aux, assemble):
    def wrapper(*args, **kwargs):
        run = _run_by(name, func, argnums, args, kwargs, has_aux)
        table = assemble(run)
        rows = []
        for row in table:
            tree = unflatten([run.release(j) for j in row], run.input_spec)
            rows.append(tree if isinstance(argnums, tuple) else tree[0])
        found = unflatten(rows, run.output_spec)
        return (found, run.released(run.aux)) if has_aux else found

    return _named(wrapper, func)


def _by_rows(run):
    """[[d y / d x for x] for y], each from one backward pass per element of y."""
    rows = [[[] for _ in run.xs] for _ in run.ys]
    for k, unit in _unit_vectors(run.ys):
        for column, g in zip(rows[k], run.pull(unit)):
            column.append(g)
    return [
        [
            reshape(stack(column), y.array.shape + x.array.shape)
            if column
            else _zeros(x, y.array.shape + x.array.shape)
            for column, x in zip(row, run.xs)
        ]
        for row, y in zip(rows, run.ys)
    ]


def _by_columns(run):
    """The same, each from one backward pass per element of x through the first one."""
    columns = [[[] for _ in run.xs] for _ in run.ys]
    for k, unit in _unit_vectors(run.xs):
        for row, v in zip(columns, run.push(unit)):
            row[k].append(v)
    return [
        [
            reshape(stack(parts, dim=-1), y.array.shape + x.array.shape)
            if parts
            else _zeros(y, y.array.shape + x.array.shape)
            for parts, x in zip(row, run.xs)
        ]
        for row, y in zip(columns, run.ys)
    ]


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function that returns the Jacobian of `func`, row by row: Tensors of shape y.shape +
    x.shape.

    The result has the form of the outputs, and in place of each Tensor the form of the argument, or
    of the tuple of arguments, `argnums`; with has_aux (Jacobian, aux). chunk_size and
    _preallocate_and_copy, which bound PyTorch's memory, are accepted: rows are computed one by one.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    return _jacobian("jacrev", func, argnums, has_aux, _by_rows)


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """`jacrev` column by column: cheaper where there are fewer inputs than outputs.

    randomness is accepted: the function runs once.
    """
    return _jacobian("jacfwd", func, argnums, has_aux, _by_columns)


def hessian(func, argnums=0):
    """A function that returns the second derivatives of `func`: shape y.shape + x.shape + x.shape.

    >>> import fastdl as torch
    >>> torch.func.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
