"""Gradients against finite differences: `gradcheck` and, for second derivatives,
`gradgradcheck`.
"""

import warnings

import numpy as np

from fastdl._engine import TensorBase, set_recording, tensor_of
from fastdl.autograd.gradients import grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient function disagrees with finite differences."""


def _reals(array):
    """`array`, or the same memory as real numbers: each complex one is two."""
    if array.dtype.kind != "c":
        return array
    return np.atleast_1d(array).view(array.real.dtype)


def _outputs(function, inputs):
    """The floating point or complex Tensors among the results of function(*inputs)."""
    found = function(*inputs)
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    return [y for y in found if isinstance(y, TensorBase) and y.array.dtype.kind in "fc"]


def _values(function, inputs):
    """Arrays of the outputs, which share no memory with anything."""
    before = set_recording(False)
    try:
        return [_reals(np.array(y.array, order="C")) for y in _outputs(function, inputs)]
    finally:
        set_recording(before)


def _checked_inputs(inputs):
    """`inputs` as a tuple, and (position, Tensor) of those to check."""
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    checked = []
    for i, x in enumerate(inputs):
        if not (isinstance(x, TensorBase) and x.requires_grad):
            continue
        if x.array.dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                "complex. This check will likely fail if all the inputs are not of double "
                "precision floating point or complex.",
                stacklevel=3,
            )
        if any(n > 1 and step == 0 for n, step in zip(x.array.shape, x.array.strides)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients correctly. "
                "You should call .contiguous on the input before passing it to gradcheck."
            )
        checked.append((i, x))
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the "
            "them have requires_grad=True."
        )
    return inputs, checked


def _parts(array):
    """Views of the real numbers of `array`, all of them or, if complex, real and imaginary."""
    return [array] if array.dtype.kind != "c" else [array.real, array.imag]


def _numeric_jacobians(function, inputs, x, eps):
    """d outputs / d x by central differences: a matrix (x elements, output elements) for each, all
    counted in real numbers.
    """
    columns = []
    for place in np.ndindex(x.array.shape):
        for part in _parts(x.array):
            kept = part[place].copy()
            part[place] = kept + eps
            above = _values(function, inputs)
            part[place] = kept - eps
            below = _values(function, inputs)
            part[place] = kept
            columns.append([(a - b).reshape(-1) / (2 * eps) for a, b in zip(above, below)])
    return [np.stack(column) for column in zip(*columns)]


def _numeric_slope(function, inputs, x, direction, eps):
    """Derivative of the outputs when x moves along `direction`."""
    kept = x.array.copy()
    x.array[...] = kept + eps * direction
    above = _values(function, inputs)
    x.array[...] = kept - eps * direction
    below = _values(function, inputs)
    x.array[...] = kept
    return [(a - b) / (2 * eps) for a, b in zip(above, below)]


def _pull(y, xs, seed):
    """Gradients of sum(seed * y) for xs, None where there are none; checks their shapes."""
    if not y.requires_grad:
        return [None] * len(xs)
    found = grad(y, xs, tensor_of(seed), retain_graph=True, allow_unused=True)
    for number, (x, g) in enumerate(zip(xs, found)):
        if g is not None and g.array.shape != x.array.shape:
            raise GradcheckError(
                f"input {number}: gradient of shape {g.array.shape} for {x.array.shape}"
            )
    return found


def _count(t):
    """Real numbers in a tensor."""
    return t.array.size * (2 if t.array.dtype.kind == "c" else 1)


def _analytic_jacobians(y, xs):
    """d y / d x for each x by backward passes: matrices (x elements, y elements), counted in real
    numbers. A gradient of a complex number holds those of its parts (Wirtinger's, conjugated).
    """
    count = _count(y)
    jacobians = [np.zeros((_count(x), count)) for x in xs]
    for column in range(count):
        seed = np.zeros(y.array.shape, y.array.dtype)
        _reals(seed.reshape(-1))[column] = 1
        for jacobian, g in zip(jacobians, _pull(y, xs, seed)):
            if g is not None:
                jacobian[:, column] = _reals(np.ascontiguousarray(g.array)).reshape(-1)
    return jacobians


def _close(a, b, atol, rtol):
    return bool((np.abs(a - b) <= atol + rtol * np.abs(b)).all())


def gradcheck(
    func,
    inputs,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    check_batched_forward_grad=False,
    check_forward_ad=False,
    check_backward_ad=True,
    fast_mode=False,
    masked=None,
):
    """Compare the Jacobians of `func(*inputs)` by backward with central differences.

    func returns a Tensor or several. inputs: Tensors that require grad, which should be float64,
    are checked; others are passed on. The error of a central difference is about eps**2 times the
    third derivative plus rounding / eps: 1e-10 relative here, far below the tolerances (difference
    <= atol + rtol * |numeric|), which leave room for steep functions. fast_mode compares one random
    direction instead of all elements.

    nondet_tol: two equal backward passes may differ by so much. check_undefined_grad: also let only
    one of several outputs have a gradient. check_grad_dtypes: gradients must have the dtypes of the
    inputs. check_batched_grad: `grad(..., is_grads_batched=True)` must agree with single passes.
    check_forward_ad: forward mode must agree too. check_batched_forward_grad, masked: accepted;
    there is no batched forward mode and there are no sparse tensors.

    Returns True; raises GradcheckError (or returns False) naming the output, the input and both
    Jacobians. ValueError if no input requires grad.

    >>> import fastdl as torch
    >>> x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, x)
    True
    """
    options = {
        "nondet_tol": nondet_tol,
        "dtypes": check_grad_dtypes,
        "batched": check_batched_grad,
        "forward": check_forward_ad,
        "backward": check_backward_ad,
        "undefined": check_undefined_grad,
    }
    inputs, checked = _checked_inputs(inputs)
    try:
        with np.errstate(all="ignore"):
            _check(func, inputs, checked, eps, atol, rtol, fast_mode, options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(func, inputs, checked, eps, atol, rtol, fast_mode, options):
    rng = np.random.default_rng(0)
    outputs = _outputs(func, inputs)
    xs = [x for _, x in checked]
    if fast_mode:
        ways = [_unit(rng, x.array) for x in xs]
        numeric = [_numeric_slope(func, inputs, x, way, eps) for x, way in zip(xs, ways)]
    else:
        numeric = [_numeric_jacobians(func, inputs, x, eps) for x in xs]
    if options["backward"]:
        for o, y in enumerate(outputs):
            if fast_mode:
                seed = _unit(rng, y.array)
                found = [
                    np.zeros(()) if g is None else _dot(g.array, way)
                    for g, way in zip(_pull(y, xs, seed), ways)
                ]
                expected = [(columns[o] * _reals(seed)).sum() for columns in numeric]
            else:
                found = _analytic_jacobians(y, xs)
                expected = [
                    columns[o] if columns else found[i] for i, columns in enumerate(numeric)
                ]
            _compare("Jacobian", o, checked, found, expected, atol, rtol)
        _check_passes(outputs, xs, rng, options)
    if options["forward"]:
        _check_forward(func, inputs, checked, numeric, eps, atol, rtol, rng, fast_mode)


def _unit(rng, like):
    """A random direction of length 1 for an array."""
    way = np.empty(like.shape, like.dtype)
    for part in _parts(way):
        part[...] = rng.standard_normal(like.shape)
    return way / (np.sqrt((np.abs(way) ** 2).sum()) or 1.0)


def _dot(a, b):
    """Sum of products, complex numbers taken as two real ones."""
    return (a * b.conj()).real.sum()


def _compare(what, o, checked, found, expected, atol, rtol):
    for (i, _), a, n in zip(checked, found, expected):
        if not _close(a, n, atol, rtol):
            raise GradcheckError(
                f"{what} mismatch for output {o} with respect to input {i},\n"
                f"numerical:{n}\nanalytical:{a}\n"
            )


def _check_passes(outputs, xs, rng, options):
    """What can be asked of backward passes without finite differences."""
    recorded = [y for y in outputs if y.requires_grad]
    if not recorded:
        return
    seeds = [
        tensor_of(rng.uniform(0.5, 1.5, y.array.shape).astype(y.array.dtype)) for y in recorded
    ]

    def all_at_once(**how):
        return grad(recorded, xs, seeds, retain_graph=True, allow_unused=True, **how)

    first, second = all_at_once(), all_at_once()
    for i, (a, b, x) in enumerate(zip(first, second, xs)):
        if a is None:
            continue
        if not np.abs(a.array - b.array).max(initial=0.0) <= options["nondet_tol"]:
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output "
                "multiple times gives different values, although analytical gradient matches "
                f"numerical gradient. The tolerance for nondeterminism was {options['nondet_tol']}."
            )
        if options["dtypes"] and a.array.dtype != x.array.dtype:
            raise GradcheckError(
                f"gradient {i} has dtype {a.array.dtype}, its input {x.array.dtype}"
            )
    if options["undefined"] and len(recorded) > 1:
        parts = [
            grad(y, xs, g, retain_graph=True, allow_unused=True) for y, g in zip(recorded, seeds)
        ]
        for i, whole in enumerate(first):
            terms = [part[i].array for part in parts if part[i] is not None]
            if whole is not None and not np.allclose(whole.array, sum(terms), 1e-6, 1e-9):
                raise GradcheckError(
                    f"input {i}: gradients with the other outputs' gradients undefined do not add "
                    "up to the gradient of all outputs"
                )
    if options["batched"]:
        rows = [tensor_of(np.stack([g.array, 2 * g.array])) for g in seeds]
        batch = grad(recorded, xs, rows, retain_graph=True, allow_unused=True,
                     is_grads_batched=True)  # fmt: skip
        for i, (whole, rowed) in enumerate(zip(first, batch)):
            if whole is not None and not np.allclose(
                rowed.array, np.stack([whole.array, 2 * whole.array]), 1e-6, 1e-9
            ):
                raise GradcheckError(f"input {i}: gradients of a batch differ from single ones")


def _check_forward(func, inputs, checked, numeric, eps, atol, rtol, rng, fast_mode):
    """Tangents of forward mode against the same finite differences."""
    from fastdl.autograd import forward_ad

    for k, (i, x) in enumerate(checked):
        way = _unit(rng, x.array)
        slopes = _numeric_slope(func, inputs, x, way, eps)
        with forward_ad.dual_level():
            moved = list(inputs)
            moved[i] = forward_ad.make_dual(x.detach(), tensor_of(way.astype(x.array.dtype)))
            for o, y in enumerate(_outputs(func, moved)):
                tangent = forward_ad.unpack_dual(y).tangent
                found = _reals(np.zeros_like(y.array) if tangent is None else tangent.array)
                _compare("Forward mode", o, [checked[k]], [found], [slopes[o]], atol, rtol)


def gradgradcheck(
    func,
    inputs,
    grad_outputs=None,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    gen_non_contig_grad_outputs=False,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    check_fwd_over_rev=False,
    check_rev_over_rev=True,
    fast_mode=False,
    masked=False,
):
    """`gradcheck` of the gradients of `func`, by its inputs and by the gradients of its outputs.

    grad_outputs: those gradients; random ones if None, with gen_non_contig_grad_outputs in memory
    that is not contiguous. Other arguments are those of `gradcheck`; check_fwd_over_rev: forward
    mode through backward.
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    which = [i for i, x in enumerate(inputs) if isinstance(x, TensorBase) and x.requires_grad]
    outputs = _outputs(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        step = 2 if gen_non_contig_grad_outputs else 1
        seeds = []
        for y in outputs:
            seed = rng.uniform(0.5, 1.5, (*y.array.shape, step)) * rng.choice([-1, 1])
            seeds.append(tensor_of(seed.astype(y.array.dtype)[..., 0], True))
    else:
        one = isinstance(grad_outputs, TensorBase)
        seeds = [grad_outputs] if one else list(grad_outputs)

    def gradients(*values):
        xs, ws = values[: len(inputs)], values[len(inputs) :]
        before = set_recording(True)
        try:
            recorded = [(y, w) for y, w in zip(_outputs(func, xs), ws) if y.requires_grad]
            if not recorded:
                return ()
            ys, vs = zip(*recorded)
            found = grad(ys, [xs[i] for i in which], vs, create_graph=True, allow_unused=True)
        finally:
            set_recording(before)
        return tuple([g for g in found if g is not None])

    return gradcheck(
        gradients,
        (*inputs, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )
