"""Programs that run with t = fastdl and t = torch alike; test_autograd.py compares what they return
or raise. Each is a function of `t`, joined to PROGRAMS by the decorator of its group.
"""

import asyncio
import threading

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def leaf(t, *values):
    return t.tensor(values or (0.5, -1.0, 2.0), dtype=t.float64, requires_grad=True)


# ---- modes ------------------------------------------------------------------------------------


@program
def modes_nest(t):
    seen = []
    with t.no_grad():
        seen.append(t.is_grad_enabled())
        with t.enable_grad():
            seen.append(t.is_grad_enabled())
            with t.set_grad_enabled(False):
                seen.append(t.is_grad_enabled())
            seen.append(t.is_grad_enabled())
        seen.append(t.is_grad_enabled())
    return seen, t.is_grad_enabled()


@program
def modes_decorate_functions(t):
    @t.no_grad()
    def a(k, *, j=1):
        return t.is_grad_enabled(), k + j

    @t.no_grad
    def b():
        return t.is_grad_enabled()

    @t.set_grad_enabled(False)
    def c():
        return t.is_grad_enabled()

    @t.inference_mode()
    def d():
        return t.is_grad_enabled(), t.is_inference_mode_enabled()

    @t.inference_mode
    def e():
        return t.is_grad_enabled(), t.is_inference_mode_enabled()

    with t.no_grad():
        f = t.enable_grad()(t.is_grad_enabled)()
    return a(2, j=3), a.__name__, b(), c(), d(), e(), f, t.is_grad_enabled()


@program
def modes_decorate_generators(t):
    @t.no_grad()
    def numbers():
        got = yield t.is_grad_enabled()
        try:
            yield t.is_grad_enabled(), got
        except ValueError:
            yield "caught", t.is_grad_enabled()
        return t.is_grad_enabled()

    steps = numbers()
    seen = [next(steps), t.is_grad_enabled(), steps.send(5), t.is_grad_enabled()]
    seen.append(steps.throw(ValueError()))
    try:
        next(steps)
    except StopIteration as stop:
        seen.append(stop.value)
    return seen


@program
def mode_after_an_error(t):
    try:
        with t.no_grad():
            raise KeyError
    except KeyError:
        return t.is_grad_enabled()


@program
def mode_is_the_threads_own(t):
    seen = []
    with t.no_grad():
        other = threading.Thread(target=lambda: seen.append(t.is_grad_enabled()))
        other.start()
        other.join()
    return seen


@program
def set_grad_enabled_at_once(t):
    t.set_grad_enabled(False)
    off = t.is_grad_enabled()
    t.set_grad_enabled(True)
    return off, t.is_grad_enabled()


# ---- inference mode ---------------------------------------------------------------------------


@program
def inference_tensors_are_marked(t):
    x = leaf(t)
    with t.inference_mode():
        made = t.ones(3, dtype=t.float64)
        view = x.view(3)
        seen = [
            made.is_inference(), view.is_inference(), made.view(3).is_inference(),
            x.detach().is_inference(), (x * 2).is_inference(), (x * 2).requires_grad,
            made[0].is_inference(), made.clone().is_inference(),
        ]  # fmt: skip
    after = [
        made.is_inference(), made[0].is_inference(), (made * 2).is_inference(),
        made.clone().is_inference(), made.detach().is_inference(), x.is_inference(),
    ]  # fmt: skip
    return seen, after, t.is_inference(made)


@program
def inference_mode_switched_off_inside(t):
    with t.inference_mode():
        with t.inference_mode(False):
            inner = t.is_inference_mode_enabled(), t.is_grad_enabled(), t.ones(2).is_inference()
            tracked = (leaf(t) * 2).requires_grad
        return inner, tracked, t.is_inference_mode_enabled()


@program
def nothing_is_recorded_in_inference_mode(t):
    with t.inference_mode(), t.enable_grad():
        return (leaf(t) * 2).requires_grad


def inference_tensor(t):
    with t.inference_mode():
        return t.ones(3, dtype=t.float64)


@program
def inference_tensor_saved_raises(t):
    return leaf(t) * inference_tensor(t)


@program
def inference_tensor_added_is_fine(t):
    return (leaf(t) + inference_tensor(t)).requires_grad


@program
def inference_tensor_in_place_outside_raises(t):
    return inference_tensor(t).add_(1)


@program
def inference_tensor_in_place_inside(t):
    with t.inference_mode():
        return t.ones(3).add_(1)


@program
def normal_tensor_in_place_inside(t):
    x = t.ones(3)
    with t.inference_mode():
        x.add_(1)
    return x, x.is_inference()


@program
def inference_tensor_requires_grad_raises(t):
    return inference_tensor(t).requires_grad_()


@program
def inference_tensor_version_raises(t):
    return inference_tensor(t)._version


@program
def inference_clone_is_normal(t):
    x = inference_tensor(t).clone().requires_grad_()
    (x * x).sum().backward()
    return x.grad


# ---- leaves, .grad, requires_grad -------------------------------------------------------------


@program
def integers_cannot_require_grad(t):
    return t.ones(3, dtype=t.int64).requires_grad_()


@program
def integers_cannot_be_made_with_grad(t):
    return t.ones(3, dtype=t.int64, requires_grad=True)


@program
def results_cannot_drop_requires_grad(t):
    return (leaf(t) * 2).requires_grad_(False)


@program
def requires_grad_false_on_a_leaf(t):
    x = leaf(t)
    x.requires_grad = False
    return (x * 2).requires_grad, x.requires_grad_().requires_grad


@program
def grad_of_another_shape(t):
    leaf(t).grad = t.ones(2, dtype=t.float64)


@program
def grad_of_another_dtype(t):
    leaf(t).grad = t.ones(3, dtype=t.float32)


@program
def grad_of_another_type(t):
    leaf(t).grad = 3


@program
def grad_of_itself(t):
    x = leaf(t)
    x.grad = x


@program
def grad_set_and_cleared(t):
    x = leaf(t)
    x.grad = t.ones(3, dtype=t.float64)
    (x * 2).sum().backward()
    first = x.grad.clone()
    x.grad = None
    return first, x.grad


@program
def attributes_of_leaf_and_result(t):
    x = leaf(t)
    y = x * 2
    a, b = y.unbind(0)[:2]
    return (
        x.is_leaf, y.is_leaf, x.grad_fn, y.output_nr, b.output_nr, x.retains_grad,
        y.retains_grad, t.ones(2).is_leaf, y.detach().is_leaf, y.detach().requires_grad,
        x._version, a.requires_grad,
    )  # fmt: skip


@program
def variables_of_old(t):
    V = t.autograd.Variable
    x = V(t.ones(3), requires_grad=True)
    (x * V(t.ones(3))).sum().backward()
    return isinstance(x, V), isinstance(3, V), isinstance(t.ones(2), V), x.grad


@program
def data_is_unseen_by_autograd(t):
    x = leaf(t)
    y = x.exp()
    before = y._version
    y.data.mul_(2)
    y.sum().backward()
    return x.grad, before, y._version, y.data.requires_grad


@program
def data_assigned(t):
    x = leaf(t)
    x.data = t.zeros(2, dtype=t.float64)
    (x + 1).sum().backward()
    return x, x.grad, x.is_leaf


@program
def data_assigned_nontensor(t):
    leaf(t).data = 3


@program
def detach_in_place(t):
    x = leaf(t)
    y = x * 2
    y.detach_()
    return y.requires_grad, y.is_leaf, y.grad_fn


@program
def detach_in_place_of_a_view(t):
    return (leaf(t) * 2)[:2].detach_()


@program
def detached_change_is_seen(t):
    x = leaf(t)
    y = x.exp()
    y.detach().mul_(2)
    y.sum().backward()


@program
def version_counts(t):
    x = t.ones(3)
    v = x[:2]
    x.add_(1)
    v.mul_(2)
    x[0] = 5
    return x._version, v._version, x.clone()._version, x.detach()._version


@program
def overwritten_operand(t):
    x = leaf(t)
    y = x * 2
    z = y * y
    y.mul_(2)
    z.sum().backward()


@program
def results_changed_that_pytorch_does_not_save(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    image = t.arange(32, dtype=t.float64).reshape(1, 2, 4, 4).sin().requires_grad_()
    F = t.nn.functional
    target = t.tensor([1])
    changed = [
        x / w, t.logaddexp(x, w), x.reshape(1, 3).max(1)[0], x.reshape(1, 3).min(1)[0],
        F.max_pool2d(image, 2), F.adaptive_max_pool2d(image, 3), F.normalize(w, dim=0),
        F.cross_entropy(x.reshape(1, 3), target), F.cross_entropy(image.mean((2, 3)), target),
        F.cross_entropy(x.reshape(1, 3), w.reshape(1, 3).softmax(1)), x.cummax(0)[0],
    ]  # fmt: skip
    for y in changed:
        y *= 0.5
    sum([y.sum() for y in changed]).backward()
    return changed, x.grad, w.grad, image.grad


@program
def leaf_in_place(t):
    return leaf(t).add_(1)


@program
def view_of_leaf_in_place(t):
    return leaf(t)[:2].add_(1)


# ---- backward and grad ------------------------------------------------------------------------


@program
def backward_needs_a_graph(t):
    return t.ones(3).sum().backward()


@program
def backward_needs_one_element(t):
    return (leaf(t) * 2).backward()


@program
def backward_of_other_shape(t):
    return (leaf(t) * 2).backward(t.ones(2, dtype=t.float64))


@program
def backward_accumulates(t):
    x = leaf(t)
    for _ in range(3):
        (x * x).sum().backward()
    return x.grad


@program
def backward_with_gradient(t):
    x = leaf(t)
    (x * x).backward(gradient=t.tensor([1.0, 2.0, 3.0], dtype=t.float64))
    return x.grad


@program
def backward_twice(t):
    y = (leaf(t) ** 2).sum()
    y.backward()
    y.backward()


@program
def backward_retaining(t):
    x = leaf(t)
    y = (x**2).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@program
def backward_creating(t):
    x = leaf(t)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    return first, x.grad


@program
def backward_into_inputs_only(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    (x * w).sum().backward(inputs=[x])
    return x.grad, w.grad


@program
def backward_into_one_input(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    (x * w).sum().backward(inputs=w)
    return x.grad, w.grad


@program
def backward_into_no_inputs(t):
    leaf(t).sum().backward(inputs=[])


@program
def backward_of_several(t):
    x = leaf(t)
    one = t.ones(3, dtype=t.float64)
    t.autograd.backward([x * 2, (x * x).sum()], [one, None])
    return x.grad


@program
def backward_of_several_default(t):
    x = leaf(t)
    t.autograd.backward([x.sum(), (x * x).sum()])
    return x.grad


@program
def backward_too_few_gradients(t):
    x = leaf(t)
    t.autograd.backward([x.sum(), x.sum()], [t.tensor(1.0)])


@program
def grad_of_several(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    return t.autograd.grad([(x * w).sum(), (x * x).sum()], [x, w]), x.grad


@program
def grad_unused(t):
    return t.autograd.grad(leaf(t).sum(), leaf(t))


@program
def grad_unused_allowed(t):
    x = leaf(t)
    return t.autograd.grad(x.sum(), [x, leaf(t)], allow_unused=True)


@program
def grad_unused_zeros(t):
    x = leaf(t)
    return t.autograd.grad(x.sum(), [x, leaf(t)], materialize_grads=True)


@program
def grad_unused_contradiction(t):
    x = leaf(t)
    return t.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


@program
def grad_of_a_constant(t):
    return t.autograd.grad(leaf(t).sum(), t.ones(3))


@program
def grad_of_nothing(t):
    return t.autograd.grad(leaf(t).sum(), ())


@program
def grad_of_a_number(t):
    return t.autograd.grad(3, leaf(t))


@program
def grad_seed_of_another_dtype(t):
    x = t.ones(3, requires_grad=True)
    return t.autograd.grad(x.sum(), x, t.tensor(2.0, dtype=t.float64))


@program
def grad_of_inner_tensors(t):
    x = leaf(t)
    y = x * 2
    z = (y * y).sum()
    return t.autograd.grad(z, [x, y])


@program
def grad_to_third_order(t):
    x = leaf(t)
    y = (x**4).sum()
    found = []
    for _ in range(3):
        (y,) = t.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach())
    return found


@program
def grad_of_batches(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    rows = t.eye(3, dtype=t.float64)
    return t.autograd.grad(x * w * w, [x, w], rows, is_grads_batched=True)


@program
def grad_of_batches_recorded(t):
    x = leaf(t)
    rows = t.eye(3, dtype=t.float64)
    (j,) = t.autograd.grad(x**3, x, rows, is_grads_batched=True, create_graph=True)
    return j, t.autograd.grad(j.sum(), x)


@program
def grad_of_batches_of_other_shape(t):
    x = leaf(t)
    return t.autograd.grad(x * 2, x, t.ones(2, 4, dtype=t.float64), is_grads_batched=True)


# ---- hooks ------------------------------------------------------------------------------------


@program
def hooks_replace_in_order(t):
    x = leaf(t)
    y = x * 2
    seen = []

    def first(g):
        seen.append(g.clone())
        return g * 10

    handle = y.register_hook(first)
    y.register_hook(lambda g: seen.append(g.clone()))
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return seen, x.grad


@program
def hook_on_a_leaf(t):
    x = leaf(t)
    x.register_hook(lambda g: g + 1)
    (x * 3).sum().backward()
    return x.grad


@program
def hook_of_other_size(t):
    y = leaf(t) * 2
    y.register_hook(lambda g: t.ones(5, dtype=t.float64))
    y.sum().backward()


@program
def hook_of_other_dtype(t):
    y = leaf(t) * 2
    y.register_hook(lambda g: t.ones(3, dtype=t.float32))
    y.sum().backward()


@program
def hook_of_other_type(t):
    y = leaf(t) * 2
    y.register_hook(lambda g: 5)
    y.sum().backward()


@program
def hook_without_graph(t):
    t.ones(3).register_hook(lambda g: g)


@program
def hook_after_accumulation(t):
    x = leaf(t)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.clone())))
    (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    return seen, x.grad


@program
def hook_after_accumulation_clears(t):
    x = leaf(t)

    def step(p):
        with t.no_grad():
            p.sub_(p.grad)
        p.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    return x, x.grad


@program
def hook_after_accumulation_on_a_result(t):
    (leaf(t) * 2).register_post_accumulate_grad_hook(lambda p: None)


@program
def hook_after_accumulation_without_graph(t):
    t.ones(2).register_post_accumulate_grad_hook(lambda p: None)


@program
def retained_gradient(t):
    x = leaf(t)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    (y * y).sum().backward()
    return y.grad, x.grad, y.retains_grad


@program
def retained_gradient_follows_in_place(t):
    x = leaf(t)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    return y.grad, x.grad, y.retains_grad


@program
def retain_without_graph(t):
    t.ones(3).retain_grad()


@program
def node_hooks(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    y = x * w
    seen = []

    def after(inputs, outputs):
        seen.append((len(inputs), len(outputs), outputs[0].clone()))
        return tuple(g * 2 for g in inputs)

    y.grad_fn.register_prehook(lambda outputs: (outputs[0] + 1,))
    handle = y.grad_fn.register_hook(after)
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return seen, x.grad, w.grad


@program
def node_attributes(t):
    x = leaf(t)
    y = x * 2
    y.grad_fn.metadata["key"] = 3
    below = y.grad_fn.next_functions
    later = y + 1
    return (
        y.grad_fn.name(), y.grad_fn.metadata, below[0][0].name(), below[0][1],
        below[0][0].variable is not None, later.grad_fn._sequence_nr() > y.grad_fn._sequence_nr(),
        y.grad_fn is y.grad_fn,
    )  # fmt: skip


@program
def nodes_of_changes_in_place(t):
    x = leaf(t)
    y = x * 2
    y[0] = 5.0
    z = x * 2
    z[1:].mul_(3)
    w = x * 2
    w[w > 1] = 0.0
    return [(v.grad_fn.name(), str(v).rpartition("grad_fn=")[2]) for v in (y, z, w)] + [
        str(x.sum().grad_fn).partition(" object")[0]
    ]


@program
def saved_values_of_a_node(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    y, z = x * w, x.exp()
    return y.grad_fn._saved_self, y.grad_fn._saved_other, z.grad_fn._saved_result


@program
def graph_edges(t):
    x = leaf(t)
    y = x * 2
    edge = t.autograd.graph.get_gradient_edge(y)
    z = (y * y).sum()
    return t.autograd.grad(z, [edge, x]), edge.output_nr, edge.node is y.grad_fn


@program
def graph_edge_as_output(t):
    x = leaf(t)
    edge = t.autograd.graph.get_gradient_edge(x * 2)
    return t.autograd.grad(edge, x, t.ones(3, dtype=t.float64))


@program
def multi_grad_hook(t):
    a, b, c = leaf(t), leaf(t, 1.0, 2.0, 3.0), leaf(t, 3.0, 4.0, 5.0)
    seen = []
    handle = t.autograd.graph.register_multi_grad_hook(
        (a, b, c), lambda grads: seen.append([g is None for g in grads])
    )
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    handle.remove()
    (a * b).sum().backward()
    return seen


@program
def multi_grad_hook_any(t):
    a, b = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    seen = []
    t.autograd.graph.register_multi_grad_hook((a, b), lambda g: seen.append(1), mode="any")
    (a * b).sum().backward()
    (a * b).sum().backward()
    return seen


@program
def version_incremented(t):
    x = leaf(t)
    y = x.exp()
    t.autograd.graph.increment_version(y)
    y.sum().backward()


# ---- saved tensors ----------------------------------------------------------------------------


@program
def saved_tensors_packed(t):
    x = leaf(t)
    seen = []

    def pack(v):
        seen.append(("pack", tuple(v.shape), v.requires_grad))
        return v.detach().clone()

    def unpack(v):
        seen.append("unpack")
        return v

    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.exp()
        z = y * x
    z.sum().backward()
    return len(seen), x.grad


@program
def saved_tensors_changed_by_hook(t):
    x = leaf(t)
    with t.autograd.graph.saved_tensors_hooks(lambda v: v * 0 + 7, lambda v: v):
        y = x * x
    y.sum().backward()
    return x.grad


@program
def saved_tensors_double_backward(t):
    x = leaf(t)
    with t.autograd.graph.saved_tensors_hooks(lambda v: v.clone(), lambda v: v):
        y = x.exp() * x
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


@program
def saved_tensors_wrong_unpack(t):
    with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: 5):
        y = leaf(t).exp()
    y.sum().backward()


@program
def saved_tensors_on_cpu(t):
    x = leaf(t)
    with t.autograd.graph.save_on_cpu():
        y = x.exp() * x
    y.sum().backward()
    return x.grad


@program
def saved_tensors_hooks_disabled(t):
    with t.autograd.graph.disable_saved_tensors_hooks("not here"):
        with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v):
            pass


@program
def saved_tensors_mutated(t):
    x = leaf(t)
    with t.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.clone()
        z = y**2
        y.fill_(0)
    return z


# ---- anomalies --------------------------------------------------------------------------------


@program
def anomaly_nan(t):
    x = leaf(t, -1.0)
    with t.autograd.set_detect_anomaly(True):
        x.sqrt().sum().backward()


@program
def anomaly_without_nan_check(t):
    x = leaf(t, 1.0)
    with t.autograd.set_detect_anomaly(True, check_nan=False):
        (x * float("nan")).sum().backward()
    return x.grad


@program
def anomaly_off_again(t):
    x = leaf(t, -1.0)
    with t.autograd.set_detect_anomaly(True):
        pass
    x.sqrt().sum().backward()
    return x.grad


# ---- async ------------------------------------------------------------------------------------


def async_decorators(t):
    """PyTorch sets the mode only until a coroutine is first asked to run; ours holds in it."""

    @t.no_grad()
    async def inside():
        first = t.is_grad_enabled()
        await asyncio.sleep(0)
        return first, t.is_grad_enabled()

    @t.no_grad()
    async def items():
        yield t.is_grad_enabled()
        await asyncio.sleep(0)
        yield t.is_grad_enabled()

    async def outside():
        modes = []
        for _ in range(3):
            modes.append(t.is_grad_enabled())
            await asyncio.sleep(0)
        return modes

    async def main():
        both = await asyncio.gather(inside(), outside())
        return both, [i async for i in items()], t.is_grad_enabled()

    return asyncio.run(main())


# ---- functional -------------------------------------------------------------------------------


def two_in_two_out(t):
    return lambda a, b: (a * b.exp(), (a * a).sum() + b.sum())


def scalar_of_two(t):
    return lambda a, b: (a**3 * b).sum() + (b * b).sum()


def pair(t):
    return leaf(t).detach(), leaf(t, 1.0, 2.0, 3.0).detach()


@program
def jacobian_of_one(t):
    return t.autograd.functional.jacobian(lambda x: x.exp().outer(x), leaf(t).detach())


@program
def jacobian_of_two(t):
    return t.autograd.functional.jacobian(two_in_two_out(t), pair(t))


@program
def jacobian_vectorized(t):
    return t.autograd.functional.jacobian(two_in_two_out(t), pair(t), vectorize=True)


@program
def jacobian_forward(t):
    return t.autograd.functional.jacobian(
        two_in_two_out(t), pair(t), vectorize=True, strategy="forward-mode"
    )


@program
def jacobian_forward_needs_vectorize(t):
    return t.autograd.functional.jacobian(two_in_two_out(t), pair(t), strategy="forward-mode")


@program
def jacobian_recorded(t):
    x = leaf(t)
    j = t.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
    (j.sum() * 2).backward()
    return j, x.grad


@program
def jacobian_of_a_constant(t):
    return t.autograd.functional.jacobian(lambda x: t.ones(2, dtype=t.float64), leaf(t))


@program
def jacobian_strict(t):
    return t.autograd.functional.jacobian(lambda a, b: (a * 2, b * 2), pair(t), strict=True)


@program
def jacobian_strict_constant(t):
    return t.autograd.functional.jacobian(lambda x: t.ones(2), leaf(t), strict=True)


@program
def jacobian_strict_vectorized(t):
    return t.autograd.functional.jacobian(lambda x: x * 2, leaf(t), strict=True, vectorize=True)


@program
def jacobian_of_a_list(t):
    return t.autograd.functional.jacobian(lambda x: x * 2, [leaf(t)])


@program
def jacobian_of_a_number(t):
    return t.autograd.functional.jacobian(lambda x: 2, leaf(t))


@program
def jacobian_of_0d(t):
    return t.autograd.functional.jacobian(lambda x: x * x, t.tensor(2.0, dtype=t.float64))


@program
def hessian_of_one(t):
    return t.autograd.functional.hessian(lambda x: (x**3).sum() * x[0], leaf(t).detach())


@program
def hessian_of_two(t):
    return t.autograd.functional.hessian(scalar_of_two(t), pair(t))


@program
def hessian_of_one_element(t):
    return t.autograd.functional.hessian(lambda x: (x**3).sum().reshape(1), leaf(t))


@program
def hessian_linear(t):
    return t.autograd.functional.hessian(lambda x: x.sum(), leaf(t))


@program
def hessian_of_a_vector(t):
    return t.autograd.functional.hessian(lambda x: x * 2, leaf(t))


@program
def hessian_of_several(t):
    return t.autograd.functional.hessian(lambda x: (x.sum(), x.sum()), leaf(t))


@program
def hessian_vectorized(t):
    return t.autograd.functional.hessian(scalar_of_two(t), pair(t), vectorize=True)


@program
def hessian_forward_over_reverse(t):
    return t.autograd.functional.hessian(
        scalar_of_two(t), pair(t), vectorize=True, outer_jacobian_strategy="forward-mode"
    )


@program
def hessian_strict_linear(t):
    return t.autograd.functional.hessian(lambda x: x.sum(), leaf(t), strict=True)


@program
def hessian_recorded(t):
    x = leaf(t)
    h = t.autograd.functional.hessian(lambda x: (x**4).sum(), x, create_graph=True)
    h.sum().backward()
    return h, x.grad


@program
def functional_vjp(t):
    v = (t.tensor([1.0, 2.0, 3.0], dtype=t.float64), t.tensor(4.0, dtype=t.float64))
    return t.autograd.functional.vjp(two_in_two_out(t), pair(t), v)


@program
def functional_vjp_of_a_scalar(t):
    return t.autograd.functional.vjp(lambda x: (x * x).sum(), leaf(t).detach())


@program
def functional_vjp_needs_v(t):
    return t.autograd.functional.vjp(lambda x: x * x, leaf(t).detach())


@program
def functional_vjp_of_other_shape(t):
    return t.autograd.functional.vjp(lambda x: x * x, leaf(t).detach(), t.ones(2))


@program
def functional_vjp_recorded(t):
    x = leaf(t)
    y, g = t.autograd.functional.vjp(lambda x: (x**3).sum(), x, create_graph=True)
    g.sum().backward()
    return y.requires_grad, g.requires_grad, x.grad


@program
def functional_vjp_is_detached(t):
    y, g = t.autograd.functional.vjp(lambda x: (x**3).sum(), leaf(t))
    return y.requires_grad, g.requires_grad


@program
def functional_jvp(t):
    return t.autograd.functional.jvp(two_in_two_out(t), pair(t), pair(t))


@program
def functional_jvp_linear(t):
    return t.autograd.functional.jvp(lambda x: x * 2, leaf(t), t.ones(3, dtype=t.float64))


@program
def functional_jvp_needs_v(t):
    return t.autograd.functional.jvp(lambda x: x * 2, leaf(t))


@program
def functional_jvp_of_a_constant(t):
    v = t.ones(3, dtype=t.float64)
    return t.autograd.functional.jvp(lambda x: t.ones(2, dtype=t.float64), leaf(t), v)


@program
def functional_jvp_strict_constant(t):
    v = t.ones(3, dtype=t.float64)
    return t.autograd.functional.jvp(lambda x: t.ones(2), leaf(t), v, strict=True)


@program
def functional_vhp(t):
    return t.autograd.functional.vhp(scalar_of_two(t), pair(t), pair(t))


@program
def functional_hvp(t):
    return t.autograd.functional.hvp(scalar_of_two(t), pair(t), pair(t))


@program
def functional_hvp_of_one(t):
    return t.autograd.functional.hvp(lambda x: (x**3).sum(), leaf(t), t.ones(3, dtype=t.float64))


@program
def functional_vhp_strict_linear(t):
    v = t.ones(3, dtype=t.float64)
    return t.autograd.functional.vhp(lambda x: x.sum(), leaf(t), v, strict=True)


@program
def functional_hvp_of_a_vector(t):
    return t.autograd.functional.hvp(lambda x: x * 2, leaf(t), t.ones(3, dtype=t.float64))


# ---- forward mode -----------------------------------------------------------------------------


@program
def dual_numbers(t):
    fw = t.autograd.forward_ad
    with fw.dual_level():
        x = fw.make_dual(leaf(t).detach(), t.tensor([1.0, 2.0, 3.0], dtype=t.float64))
        y = fw.unpack_dual((x * x).exp())
        constant = fw.unpack_dual(t.ones(2))
        linear = fw.unpack_dual(x * 3).tangent
        back = fw.unpack_dual(x)
        return tuple(y), tuple(constant), linear, tuple(back)


@program
def dual_numbers_of_two(t):
    fw = t.autograd.forward_ad
    a, b = pair(t)
    with fw.dual_level():
        x, w = fw.make_dual(a, b), fw.make_dual(b, a)
        return tuple(fw.unpack_dual((x * w).sin())), tuple(fw.unpack_dual(x + b))


@program
def dual_numbers_without_level(t):
    return t.autograd.forward_ad.make_dual(t.ones(2), t.ones(2))


@program
def dual_numbers_of_other_shape(t):
    with t.autograd.forward_ad.dual_level():
        return t.autograd.forward_ad.make_dual(t.ones(2), t.ones(3))


@program
def dual_numbers_recorded(t):
    fw = t.autograd.forward_ad
    x = leaf(t)
    with fw.dual_level():
        y = fw.unpack_dual(fw.make_dual(x, t.ones(3, dtype=t.float64)) ** 3)
        return t.autograd.grad(y.tangent.sum(), x)


# ---- gradcheck --------------------------------------------------------------------------------


def wrong_gradient(t):
    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    return Wrong.apply


@program
def gradcheck_of_right_ones(t):
    x, w = leaf(t), leaf(t, 1.0, 2.0, 3.0)
    check, twice = t.autograd.gradcheck, t.autograd.gradgradcheck
    return (
        check(two_in_two_out(t), (x, w)), twice(two_in_two_out(t), (x, w)),
        check(two_in_two_out(t), (x, w), fast_mode=True), check(t.sin, x, check_batched_grad=True),
        twice(t.sin, x, fast_mode=True), check(t.sin, [x], check_forward_ad=True),
        twice(t.sin, x, gen_non_contig_grad_outputs=True), check(t.sin, x, check_grad_dtypes=True),
    )  # fmt: skip


@program
def gradcheck_of_complex_numbers(t):
    z = t.tensor([1 + 2j, 0.5 - 1j], dtype=t.complex128, requires_grad=True)
    w = leaf(t, 0.5, 2.0)
    check = t.autograd.gradcheck
    return [
        check(f, (z, w), fast_mode=fast)
        for f in (lambda z, w: z * z * w, lambda z, w: (z / w).abs(), lambda z, w: (z * w).real)
        for fast in (False, True)
    ]


@program
def gradcheck_of_wrong_complex_ones(t):
    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * (1 + 2j)

        @staticmethod
        def backward(ctx, g):
            return g * (1 + 2j)  # not conjugated

    z = t.tensor([1 + 2j, 0.5 - 1j], dtype=t.complex128, requires_grad=True)
    check = t.autograd.gradcheck
    return [check(Wrong.apply, z, fast_mode=f, raise_exception=False) for f in (False, True)]


@program
def backward_of_a_complex_number(t):
    t.tensor(1 + 2j, requires_grad=True).backward()


@program
def gradcheck_of_a_wrong_one(t):
    return t.autograd.gradcheck(wrong_gradient(t), leaf(t))


@program
def gradcheck_of_a_wrong_one_fast(t):
    return t.autograd.gradcheck(wrong_gradient(t), leaf(t), fast_mode=True)


@program
def gradcheck_without_exception(t):
    return t.autograd.gradcheck(wrong_gradient(t), leaf(t), raise_exception=False)


@program
def gradcheck_without_inputs(t):
    return t.autograd.gradcheck(t.sin, t.ones(3))


@program
def gradcheck_of_expanded_input(t):
    return t.autograd.gradcheck(t.sin, t.ones((), dtype=t.float64, requires_grad=True).expand(3))


@program
def gradcheck_of_random_gradients(t):
    class Noisy(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2 + t.rand(3, dtype=t.float64) * 1e-6

    return t.autograd.gradcheck(Noisy.apply, leaf(t))


# Programs that raise what PyTorch raises, in words of their own.
OWN_WORDS = {
    "func_grad_of_no_tensor",
    "function_called",
    "functional_call_strict",
    "functional_vhp_strict_linear",
    "grad_of_another_shape",
    "hessian_strict_linear",
    "integers_cannot_be_made_with_grad",
}
