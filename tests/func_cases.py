"""Programs over transforms of functions, custom Functions and checkpoints, for t = fastdl and
t = torch alike; test_autograd.py runs them with those of autograd_cases.py.
"""

from importlib import import_module

from autograd_cases import leaf, program


def vector(t, *values):
    return t.tensor(values or (0.5, -1.0, 2.0), dtype=t.float64)


def matrix(t):
    return t.arange(12, dtype=t.float64).reshape(4, 3) / 7


# ---- transforms -------------------------------------------------------------------------------


@program
def func_grad(t):
    return t.func.grad(lambda x: (x**3).sum())(vector(t))


@program
def func_grad_of_grad(t):
    f = lambda x: x.sin() * x
    g = t.func.grad
    x = t.tensor(0.7, dtype=t.float64)
    return f(x), g(f)(x), g(g(f))(x), g(g(g(f)))(x)


@program
def func_grad_argnums(t):
    def f(a, b, *, k=2.0):
        return (a * b * k).sum()

    a, b = vector(t), vector(t, 1.0, 2.0, 3.0)
    g = t.func.grad
    return g(f, 1)(a, b), g(f, (0, 1))(a, b, k=3.0), g(f, argnums=-1)(a, b)


@program
def func_grad_of_trees(t):
    def f(p, x):
        return ((p["w"] * x + p["b"][0]) ** 2).sum()

    p = {"w": vector(t), "b": [vector(t, 1.0, 2.0, 3.0)]}
    return t.func.grad(f)(p, vector(t)), t.func.grad_and_value(f)(p, vector(t))


@program
def func_grad_aux(t):
    def f(x):
        return (x * x).sum(), {"twice": x * 2}

    found = t.func.grad(f, has_aux=True)(vector(t))
    both = t.func.grad_and_value(f, has_aux=True)(vector(t))
    return found, both, found[1]["twice"].requires_grad, found[0].requires_grad


@program
def func_grad_keeps_the_graph_outside(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    g = t.func.grad(lambda x: (x * x * w).sum())(x.detach())
    h = t.func.grad(lambda x: (x**3).sum())(x)
    g.sum().backward()
    h.sum().backward()
    return g.requires_grad, h.requires_grad, w.grad, x.grad


@program
def func_grad_without_outer_graph(t):
    return t.func.grad(lambda x: (x**3).sum())(vector(t)).requires_grad


@program
def func_grad_under_no_grad(t):
    with t.no_grad():
        g = t.func.grad(lambda x: (x**3).sum())(leaf(t))
    return g, g.requires_grad


@program
def func_grad_of_a_vector(t):
    return t.func.grad(lambda x: x * 2)(vector(t))


@program
def func_grad_of_no_tensor(t):
    return t.func.grad(lambda x: 2.0)(vector(t))


@program
def func_grad_bad_argnum(t):
    return t.func.grad(lambda x: x.sum(), 3)(vector(t))


@program
def func_grad_no_aux(t):
    return t.func.grad(lambda x: x.sum(), has_aux=True)(vector(t))


@program
def func_grad_unused(t):
    return t.func.grad(lambda x, y: y.sum())(vector(t), vector(t))


@program
def func_vjp(t):
    out, pull = t.func.vjp(lambda x, y: (x * y, x.sum()), vector(t), vector(t, 1.0, 2.0, 3.0))
    one = t.tensor(1.0, dtype=t.float64)
    return out, pull((vector(t), one)), pull((vector(t) * 2, one))


@program
def func_vjp_aux_and_trees(t):
    def f(d):
        return {"y": d["x"] ** 2}, d["x"] * 3

    out, pull, aux = t.func.vjp(f, {"x": vector(t)}, has_aux=True)
    return out, pull({"y": vector(t)}), aux


@program
def func_vjp_of_other_form(t):
    _, pull = t.func.vjp(lambda x: (x, x), vector(t))
    return pull(vector(t))


@program
def func_jvp(t):
    f = lambda x, y: (x * y.exp(), y.sum())
    pair = vector(t), vector(t, 1.0, 0.5, 0.25)
    return t.func.jvp(f, pair, pair[::-1])


@program
def func_jvp_aux(t):
    return t.func.jvp(lambda x: (x * x, x + 1), (vector(t),), (vector(t),), has_aux=True)


@program
def func_jvp_of_no_tuple(t):
    return t.func.jvp(t.sin, vector(t), vector(t))


@program
def func_linearize(t):
    out, push = t.func.linearize(lambda x: x.sin() * x, vector(t))
    return out, push(vector(t)), push(vector(t, 1.0, 2.0, 3.0))


@program
def func_jacobians(t):
    f = lambda x: x.outer(x).exp()
    return t.func.jacrev(f)(vector(t)), t.func.jacfwd(f)(vector(t))


@program
def func_jacobians_of_several(t):
    f = lambda a, b: {"p": a * b, "s": (a * a).sum()}
    pair = vector(t), vector(t, 1.0, 2.0, 3.0)
    return (
        t.func.jacrev(f, (0, 1))(*pair), t.func.jacfwd(f, (0, 1))(*pair),
        t.func.jacrev(f, 1)(*pair), t.func.jacfwd(f, argnums=1)(*pair),
    )  # fmt: skip


@program
def func_jacobian_aux(t):
    f = lambda x: (x**2, x * 3)
    return t.func.jacrev(f, has_aux=True)(vector(t)), t.func.jacfwd(f, has_aux=True)(vector(t))


@program
def func_jacobian_of_0d(t):
    x = t.tensor(2.0, dtype=t.float64)
    return t.func.jacrev(lambda x: x**3)(x), t.func.jacfwd(lambda x: x**3)(x)


@program
def func_jacobian_is_differentiable(t):
    x = leaf(t)
    t.func.jacrev(lambda x: x**3)(x).sum().backward()
    first = x.grad
    x.grad = None
    t.func.jacfwd(lambda x: x**3)(x).sum().backward()
    return first, x.grad


@program
def func_hessian(t):
    f = lambda x: (x.sin() * x.prod()).sum()
    h = t.func.hessian(f)(vector(t))
    return h, t.func.jacrev(t.func.jacrev(f))(vector(t)), t.func.jacrev(t.func.jacfwd(f))(vector(t))


@program
def func_hessian_of_two(t):
    f = lambda a, b: (a**2 * b).sum()
    return t.func.hessian(f, (0, 1))(vector(t), vector(t, 1.0, 2.0, 3.0))


# ---- vmap -------------------------------------------------------------------------------------


@program
def vmap_one(t):
    return t.vmap(lambda x: x.sum() * x)(matrix(t)), t.func.vmap(t.sin)(matrix(t))


@program
def vmap_dims(t):
    f = lambda a, b: a @ b
    a, b = matrix(t), vector(t)
    return (
        t.vmap(f, in_dims=(0, None))(a, b), t.vmap(f, in_dims=(1, None))(a, vector(t, 1, 2, 3, 4)),
        t.vmap(f, (0, 0))(a, a), t.vmap(lambda x: x * 2, in_dims=-1, out_dims=1)(a),
        t.vmap(lambda x: (x, x.sum()), out_dims=(1, 0))(a),
        t.vmap(lambda x: x.outer(x), out_dims=-1)(a),
    )  # fmt: skip


@program
def vmap_trees(t):
    f = lambda d: {"s": d["x"] + d["y"][0], "l": [d["x"].sum()]}
    d = {"x": matrix(t), "y": (matrix(t),)}
    return t.vmap(f)(d), t.vmap(f, in_dims=({"x": 0, "y": (0,)},))(d)


@program
def vmap_unmapped_output(t):
    return t.vmap(lambda x: (x, vector(t)))(matrix(t))


@program
def vmap_nested(t):
    a, b = matrix(t), vector(t)
    outer = t.vmap(t.vmap(lambda x, y: x * y, in_dims=(None, 0)), in_dims=(0, None))
    return outer(a, b), t.vmap(t.vmap(lambda x: x**2))(a)


@program
def vmap_of_linear_layers(t):
    w, b = matrix(t), vector(t, 1.0, 2.0, 3.0, 4.0)
    xs = matrix(t).T @ matrix(t)
    return t.vmap(lambda x: t.nn.functional.linear(x, w, b).relu().softmax(-1))(xs)


@program
def vmap_of_reductions(t):
    xs = matrix(t).reshape(2, 2, 3)
    return t.vmap(
        lambda x: (x.sum(), x.mean(0), x.sum(-1, keepdim=True), x.max(), x.argmax(), x.var(), x.T,
                   x.reshape(-1), x[0], x[:, 1:], x.sort(dim=0)[0], x.cumsum(1), x.norm(),
                   t.cat([x, x]), t.stack([x, x]), x.unsqueeze(0), x.logsumexp(0), x.flip(0))
    )(xs)  # fmt: skip


@program
def vmap_differentiable(t):
    x = matrix(t).requires_grad_()
    w = leaf(t)
    y = t.vmap(lambda r: (r * w).sum() ** 2)(x)
    y.sum().backward()
    return y, x.grad, w.grad


@program
def vmap_per_sample_gradients(t):
    def loss(p, x, y):
        return ((x * p["w"]).sum() + p["b"] - y) ** 2

    p = {"w": vector(t), "b": t.tensor(0.5, dtype=t.float64)}
    ys = vector(t, 1.0, 2.0, 3.0, 4.0)
    return t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))(p, matrix(t), ys)


@program
def vmap_of_transforms(t):
    f = lambda x: (x**3).sum()
    return (
        t.vmap(t.func.hessian(f))(matrix(t)), t.vmap(t.func.jacrev(lambda x: x**2))(matrix(t)),
        t.func.jacrev(t.vmap(f))(matrix(t)), t.func.grad(lambda x: t.vmap(f)(x).sum())(matrix(t)),
        t.vmap(lambda x, v: t.func.jvp(t.sin, (x,), (v,))[1])(matrix(t), matrix(t)),
    )  # fmt: skip


@program
def vmap_chunks(t):
    return [t.vmap(lambda x: x.sum(), chunk_size=k)(matrix(t)) for k in (1, 2, 3, 10)]


@program
def vmap_of_chunk_size_0(t):
    return t.vmap(lambda x: x, chunk_size=0)(matrix(t))


@program
def vmap_of_no_inputs(t):
    return t.vmap(lambda: t.ones(2))()


@program
def vmap_of_other_sizes(t):
    return t.vmap(lambda a, b: a)(matrix(t), vector(t))


@program
def vmap_of_bad_in_dim(t):
    return t.vmap(lambda a: a, in_dims=2)(matrix(t))


@program
def vmap_of_bad_in_dims(t):
    return t.vmap(lambda a: a, in_dims="no")(matrix(t))


@program
def vmap_of_a_list_of_in_dims(t):
    return t.vmap(lambda a, b: a + b, in_dims=[0, 0])(matrix(t), matrix(t))


@program
def vmap_of_too_many_in_dims(t):
    return t.vmap(lambda a: a, in_dims=(0, 0))(matrix(t))


@program
def vmap_over_a_number(t):
    return t.vmap(lambda a, b: a * b)(matrix(t), 2.0)


@program
def vmap_over_nothing(t):
    return t.vmap(lambda a: a, in_dims=None)(matrix(t))


@program
def vmap_to_a_number(t):
    return t.vmap(lambda a: 2.0)(matrix(t))


@program
def vmap_to_bad_out_dim(t):
    return t.vmap(lambda a: a, out_dims=5)(matrix(t))


@program
def vmap_to_too_many_out_dims(t):
    return t.vmap(lambda a: a, out_dims=(0, 1))(matrix(t))


@program
def vmap_of_random_numbers(t):
    return t.vmap(lambda a: a + t.rand(3))(matrix(t))


@program
def vmap_of_unknown_randomness(t):
    return t.vmap(lambda a: a, randomness="some")(matrix(t))


@program
def vmap_same_random_numbers(t):
    y = t.vmap(lambda a: a * 0 + t.rand(3), randomness="same")(matrix(t))
    z = t.vmap(lambda a: a * 0 + t.rand(3), randomness="different")(matrix(t))
    return bool((y[0] == y[1]).all()), bool((z[0] == z[1]).all())


@program
def vmap_of_an_empty_batch(t):
    return t.vmap(lambda x: (x * 2, x.sum()))(t.ones(0, 3))


# ---- modules ----------------------------------------------------------------------------------


def fixed_linear(t, seed):
    layer = t.nn.Linear(3, 2).double()
    with t.no_grad():
        layer.weight.copy_((t.arange(6, dtype=t.float64).reshape(2, 3) + seed) / 5)
        layer.bias.copy_(t.arange(2, dtype=t.float64) - seed)
    return layer


@program
def functional_call_of_linear(t):
    layer = fixed_linear(t, 1)
    before = layer.weight
    p = {"weight": t.ones(2, 3, dtype=t.float64, requires_grad=True)}
    y = t.func.functional_call(layer, p, (vector(t),))
    y.sum().backward()
    return y, p["weight"].grad, layer.weight is before, layer.bias.grad


@program
def functional_call_forms(t):
    layer = fixed_linear(t, 1)
    w, b = {"weight": layer.weight * 2}, {"bias": layer.bias * 0}
    call = t.func.functional_call
    return call(layer, (w, b), vector(t)), call(layer, [w], (), {"input": vector(t)})


@program
def functional_call_strict(t):
    layer = fixed_linear(t, 1)
    return t.func.functional_call(layer, {"weight": layer.weight}, vector(t), strict=True)


@program
def functional_call_twice_given(t):
    layer = fixed_linear(t, 1)
    d = {"weight": layer.weight}
    return t.func.functional_call(layer, (d, d), vector(t))


@program
def functional_call_of_tied(t):
    layer = fixed_linear(t, 1)
    net = t.nn.Sequential(t.nn.ModuleDict({"a": layer}), t.nn.ModuleDict({"b": layer}))
    net.forward = lambda x: net[0]["a"](x) + net[1]["b"](x)
    p = {"0.a.weight": layer.weight * 2}
    return t.func.functional_call(net, p, vector(t))


@program
def ensembles(t):
    models = [fixed_linear(t, k) for k in range(3)]
    parameters, buffers = t.func.stack_module_state(models)

    def call(p, b, x):
        return t.func.functional_call(models[0], (p, b), (x,))

    y = t.vmap(call, in_dims=(0, 0, None))(parameters, buffers, matrix(t))
    y.sum().backward()
    return y, parameters["weight"].shape, parameters["bias"].grad, list(buffers)


@program
def ensembles_of_none(t):
    return t.func.stack_module_state([])


@program
def per_sample_gradients_of_a_module(t):
    layer = fixed_linear(t, 1)
    p = {k: v.detach() for k, v in layer.named_parameters()}

    def loss(p, x, y):
        out = t.func.functional_call(layer, p, (x.unsqueeze(0),))
        return t.nn.functional.mse_loss(out, y.unsqueeze(0))

    ys = matrix(t)[:, :2]
    return t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))(p, matrix(t), ys)


# ---- checkpoints ------------------------------------------------------------------------------


def checkpoints(t):
    return import_module(f"{t.__name__}.utils.checkpoint")


def body(x, w=None):
    y = x.exp().sin()
    return y * (x if w is None else w)


@program
def checkpoint_both_ways(t):
    found = []
    for way in (True, False):
        x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
        y = checkpoints(t).checkpoint(body, x, w, use_reentrant=way)
        y.sum().backward()
        found += [y, x.grad, w.grad]
    return found


@program
def checkpoint_with_keywords(t):
    x = leaf(t)
    y = checkpoints(t).checkpoint(body, x, w=vector(t), use_reentrant=False)
    return y, t.autograd.grad(y.sum(), x)


@program
def checkpoint_with_keywords_reentrant(t):
    return checkpoints(t).checkpoint(body, leaf(t), w=vector(t), use_reentrant=True)


@program
def checkpoint_reentrant_under_grad(t):
    x = leaf(t)
    return t.autograd.grad(checkpoints(t).checkpoint(body, x, use_reentrant=True).sum(), x)


@program
def checkpoint_nested(t):
    c = checkpoints(t).checkpoint
    x = leaf(t)

    def outer(a):
        return c(body, c(body, a.sin(), use_reentrant=False) * 2, use_reentrant=False).exp()

    y = c(outer, x, use_reentrant=False)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


@program
def checkpoint_of_several_outputs(t):
    x = leaf(t)
    c = checkpoints(t).checkpoint
    a, n, d = c(lambda x: (x.sin(), 5, {"k": x * x}), x, use_reentrant=False)
    (a.sum() + d["k"].sum()).backward()
    return x.grad, n


@program
def checkpoint_backward_twice(t):
    y = checkpoints(t).checkpoint(body, leaf(t), use_reentrant=False)
    y.sum().backward()
    y.sum().backward()


@program
def checkpoint_retained(t):
    x = leaf(t)
    y = checkpoints(t).checkpoint(body, x, use_reentrant=False)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return x.grad


@program
def checkpoint_draws_the_same_again(t):
    found = []
    for way in (True, False):
        x = t.ones(50, requires_grad=True)
        y = checkpoints(t).checkpoint(
            lambda x: t.nn.functional.dropout(x, 0.5), x, use_reentrant=way
        )
        t.rand(3)
        y.sum().backward()
        found.append(bool((x.grad == y.detach()).all()))
    return found


def alternating(functions):
    turns = iter(functions * 2)
    return lambda x: next(turns)(x)


@program
def checkpoint_of_fewer_tensors(t):
    f = alternating([lambda x: x.exp().sin(), lambda x: x.exp()])
    return checkpoints(t).checkpoint(f, leaf(t), use_reentrant=False).sum().backward()


@program
def checkpoint_of_more_tensors(t):
    f = alternating([lambda x: x.exp(), lambda x: x.exp().sin()])
    c = checkpoints(t).checkpoint
    return c(f, leaf(t), use_reentrant=False, early_stop=False).sum().backward()


@program
def checkpoint_of_other_shapes(t):
    f = alternating([lambda x: x.exp(), lambda x: x[:2].exp()])
    return checkpoints(t).checkpoint(f, leaf(t), use_reentrant=False).sum().backward()


@program
def checkpoint_without_grad(t):
    with t.no_grad():
        return checkpoints(t).checkpoint(body, leaf(t), use_reentrant=False)


@program
def checkpoint_of_sequences(t):
    found = []
    for way in (True, False):
        for segments in (1, 2, 3):
            x = leaf(t)
            parts = t.nn.Sequential(t.nn.Tanh(), t.nn.Sigmoid(), t.nn.Softplus(), t.nn.Tanh())
            c = checkpoints(t).checkpoint_sequential
            c(parts, segments, x, use_reentrant=way).sum().backward()
            found.append(x.grad)
    return found


# ---- autograd.Function ------------------------------------------------------------------------


def custom(t, forward, backward, **more):
    """A Function of these static methods."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    members |= {name: staticmethod(method) for name, method in more.items()}
    return type("Custom", (t.autograd.Function,), members)


def twice(ctx, x, *rest):
    return x * 2


@program
def function_saving_a_number(t):
    def forward(ctx, x):
        ctx.save_for_backward(3)
        return x * 2

    return custom(t, forward, lambda ctx, g: g).apply(leaf(t))


@program
def function_without_forward(t):
    class Empty(t.autograd.Function):
        pass

    return Empty.apply(leaf(t))


@program
def function_without_backward(t):
    class Half(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    Half.apply(leaf(t)).sum().backward()


@program
def function_called(t):
    return custom(t, twice, lambda ctx, g: g)()(leaf(t))


@program
def function_with_too_few_gradients(t):
    custom(t, twice, lambda ctx, g: g).apply(leaf(t), leaf(t)).sum().backward()


@program
def function_with_too_many_gradients(t):
    custom(t, twice, lambda ctx, g: (g, g)).apply(leaf(t)).sum().backward()


@program
def function_with_more_nones(t):
    x = leaf(t)
    custom(t, twice, lambda ctx, g: (g, None, None)).apply(x).sum().backward()
    return x.grad


@program
def function_with_a_gradient_for_a_number(t):
    custom(t, twice, lambda ctx, g: (g, g)).apply(leaf(t), 3).sum().backward()


@program
def function_with_a_gradient_of_other_shape(t):
    f = custom(t, twice, lambda ctx, g: t.ones(5, dtype=t.float64))
    f.apply(leaf(t)).sum().backward()


@program
def function_with_a_wider_gradient(t):
    x = leaf(t)
    custom(t, twice, lambda ctx, g: g.expand(2, 3)).apply(x).sum().backward()
    return x.grad


@program
def function_with_a_number_for_a_gradient(t):
    custom(t, twice, lambda ctx, g: 5).apply(leaf(t)).sum().backward()


@program
def function_of_keywords(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    f = custom(t, lambda ctx, x, w=None: x * w, lambda ctx, g: (g * 3, g * 5))
    f.apply(x, w=w).sum().backward()
    return x.grad


@program
def function_with_other_results(t):
    x = leaf(t)
    y = custom(t, lambda ctx, x: (x * 2, 5, None, "a"), lambda ctx, *g: g[0] * 2).apply(x)
    y[0].sum().backward()
    return y, x.grad


@program
def function_with_vjp(t):
    class Named(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, g):
            return g * 5

    x = leaf(t)
    Named.apply(x).sum().backward()
    return x.grad


@program
def function_with_vjp_and_backward(t):
    f = custom(t, twice, lambda ctx, g: g, vjp=lambda ctx, g: g)
    f.apply(leaf(t)).sum().backward()


def add_one(ctx, x):
    ctx.mark_dirty(x)
    return x.add_(1)


@program
def function_in_place(t):
    x = leaf(t)
    y = x * 2
    z = custom(t, add_one, lambda ctx, g: g * 3).apply(y)
    z.sum().backward()
    return z is y, x.grad, y._version, y.grad_fn.name()


@program
def function_in_place_on_a_view(t):
    x = leaf(t)
    y = x * 2
    custom(t, add_one, lambda ctx, g: g * 3).apply(y[:2])
    y.sum().backward()
    return y, x.grad


@program
def function_in_place_on_a_leaf(t):
    custom(t, add_one, lambda ctx, g: g).apply(leaf(t))


@program
def function_dirty_but_not_returned(t):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x * 2

    custom(t, forward, lambda ctx, g: g).apply(leaf(t) * 2)


@program
def function_returning_its_input(t):
    x = leaf(t)
    y = custom(t, lambda ctx, x: x, lambda ctx, g: g * 7).apply(x)
    y.sum().backward()
    with t.no_grad():
        z = custom(t, lambda ctx, x: x, lambda ctx, g: g * 7).apply(x)
    return y is x, x.grad, z is x, z.requires_grad


@program
def function_with_flat_outputs(t):
    def forward(ctx, x):
        y, z, i = x * 2, x * 3, x.argsort()
        ctx.mark_non_differentiable(z)
        return y, z, i

    x = leaf(t)
    y, z, i = custom(t, forward, lambda ctx, g, h, k: g * 2 + h).apply(x)
    y.sum().backward()
    return y.requires_grad, z.requires_grad, i.requires_grad, x.grad


@program
def function_without_materialized_gradients(t):
    found = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(ctx, g, h):
        found.append((g is None, h is None))
        return g

    custom(t, forward, backward).apply(leaf(t))[0].sum().backward()
    return found


@program
def function_needs_input_grad(t):
    found = []

    def forward(ctx, x, w, n):
        found.append((ctx.needs_input_grad, t.is_grad_enabled(), x.requires_grad))
        return x * w

    def backward(ctx, g):
        found.append((ctx.needs_input_grad, t.is_grad_enabled(), g.requires_grad))
        return g, None, None

    f = custom(t, forward, backward)
    x = leaf(t)
    f.apply(x, vector(t), 3).sum().backward()
    t.autograd.grad(f.apply(x, vector(t), 3).sum(), x, create_graph=True)
    return found


@program
def function_with_setup_context(t):
    def setup_context(ctx, inputs, output):
        x, k = inputs
        ctx.k = k
        ctx.save_for_backward(x, output)

    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * ctx.k * x + y, None

    x = leaf(t)
    f = custom(t, lambda x, k: x * k, backward, setup_context=setup_context)
    f.apply(x, 4.0).sum().backward()
    return x.grad, f.apply(x, k=2.0)


def cube_backward(ctx, g):
    (x,) = ctx.saved_tensors
    return 3 * x**2 * g


def cube(ctx, x):
    ctx.save_for_backward(x)
    return x**3


@program
def function_differentiated_thrice(t):
    x = leaf(t)
    y = custom(t, cube, cube_backward).apply(x)
    found = []
    for _ in range(3):
        (y,) = t.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach())
    return found


@program
def function_differentiable_once(t):
    once = t.autograd.function.once_differentiable
    x = leaf(t)
    y = custom(t, cube, once(cube_backward)).apply(x)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    seed = t.ones(3, dtype=t.float64, requires_grad=True)
    (h,) = t.autograd.grad(custom(t, cube, once(cube_backward)).apply(x), x, seed,
                           create_graph=True)  # fmt: skip
    return g, g.requires_grad, h.requires_grad, h.sum().backward()


@program
def function_node(t):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.key = "kept"
        return x**3

    y = custom(t, forward, cube_backward).apply(leaf(t))
    node = y.grad_fn
    return node.name(), node.saved_tensors, node.needs_input_grad, node.key


@program
def function_node_freed(t):
    y = custom(t, cube, cube_backward).apply(leaf(t))
    y.sum().backward()
    return y.grad_fn.saved_tensors


@program
def function_saved_value_overwritten(t):
    y = leaf(t) * 1
    z = custom(t, cube, cube_backward).apply(y)
    y.add_(1)
    z.sum().backward()


@program
def function_of_a_dict(t):
    return (
        custom(t, lambda ctx, d: d["x"] * 2, lambda ctx, g: g).apply({"x": leaf(t)}).requires_grad
    )
