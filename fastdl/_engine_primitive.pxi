# Primitive: a function on arrays, its gradient functions, its recording: included by _engine.pyx.

@cython.final
cdef class Plan:
    """What a node saves if the arguments of `mask` need gradients, and how to call those."""
    cdef tuple slots                    # argument number, OUT, SHAPE - argument number, NTH_OUT + i
    cdef tuple reads                    # per argument: positions in `saved`, or static names
    cdef tuple joint                    # the same for the joint function
    cdef bint holds                     # does it save values, not just shapes?
    cdef bint named                     # do slots name arguments? Not for autograd.Function


# A function of a plain Tensor and some arguments; None where it leaves the call to others
ctypedef object (*Way)(Primitive, object, PyObject **, Py_ssize_t)


@cython.final
cdef class Primitive:
    """A function on arrays with a gradient function for each argument.

    forward: positional parameters are operands, keyword-only ones are static. kind: 'plain';
    'elementwise' (operands are promoted to one dtype, and the engine undoes broadcasting and
    promotion in the gradients); 'view' (the result looks at the first operand's memory, when NumPy
    says so). floating: integers become the default dtype first. ufunc: a NumPy ufunc that does the
    work. promote=False leaves dtypes alone. into(out, *arrays, **static) writes the result into an
    existing array and serves the in-place form; without it the result is copied.
    node_name: PyTorch's name of the node; the attribute `naming` gives it where that depends on the
    call. kernel(*arrays, out=None, **static) computes the function and its in-place form where all
    operands are arrays of float32, or all of float64; with `moves` of any one dtype; beside
    some of the NumPy dtype `picks`; then numbers come as 0-d arrays. It may answer NotImplemented,
    and the forward runs. paired: for a reduction,
    the primitive that also says where along a dimension, and the class of its results.

    float16 and bfloat16 are computed in float32 and rounded once, as the forward sees float32
    arrays; half=True says that it takes them as they are.

    Gradients of complex functions follow PyTorch: the conjugate Wirtinger derivative, which for a
    holomorphic function with derivative f' is g * conj(f'). It is conj(h(conj(g))) for the h that
    multiplies by f', so the engine conjugates before and after, and h serves real and complex
    numbers alike. conjugates=False says that the gradient functions do so themselves: those of
    functions that are not holomorphic.

    spends=True is for what an activation's gradient function consists of, f(g, x): in a backward
    pass the result takes the place of g where nobody else holds that.
    """
    cdef readonly object forward
    cdef readonly str name
    cdef readonly str node_name
    cdef public object naming           # (static, shapes, needs) -> name of the node, or None
    cdef readonly str kind
    cdef readonly object into
    cdef readonly object kernel
    cdef readonly bint variadic
    cdef public int autocast            # 1: in the lower dtype, 2: in float32, under autocast
    cdef readonly dict gradients        # argument name -> function
    cdef readonly object joint
    cdef readonly tuple operands        # argument names
    cdef object functions               # per argument: function or None
    cdef dict defaults                  # of static arguments
    cdef dict plans                     # mask -> Plan
    cdef uint64_t differentiable
    cdef Py_ssize_t most                # operands
    cdef bint elementwise, promotes, floating, view, boxes, half, conjugates
    cdef int takes                      # what the kernel takes: FDL_FLOATS, ...
    cdef bint spends
    cdef public tuple paired
    cdef Way quick                      # answers usual calls, with the one static argument
    cdef object signature
    cdef dict __dict__                  # __name__, __doc__ ...: it stands for its function

    def __init__(self, forward, str kind="plain", *, ufunc=None, bint floating=False,
                 bint promote=True, into=None, kernel=None, bint moves=False,
                 picks=None, str node_name=None, bint half=False, bint conjugates=True,
                 bint spends=False):
        if kind not in ("plain", "elementwise", "view"):
            raise ValueError(f"kind: expected 'plain', 'elementwise' or 'view', got {kind!r}")
        self.forward = forward if ufunc is None else ufunc
        self.name = forward.__name__
        self.node_name = node_name or self.name.title().replace("_", "")
        if not self.node_name.endswith("Backward"):
            self.node_name += "Backward0"
        self.kind = kind
        self.elementwise = kind == "elementwise"
        self.view = kind == "view"
        self.promotes = self.elementwise and promote
        self.floating = floating
        self.half = half or self.view
        self.conjugates = conjugates and not self.view  # views move numbers: h is real
        self.boxes = ufunc is not None or kernel is not None
        self.kernel = kernel
        self.takes = FDL_MOVES if moves else FDL_FLOATS if picks is None else picks.num
        self.into = into
        self.spends = spends
        self.signature = inspect.signature(forward)
        setattr(self, "__signature__", self.signature)
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(self, attribute, getattr(forward, attribute))
        parameters = self.signature.parameters.values()
        self.operands = tuple([p.name for p in parameters if p.kind != p.KEYWORD_ONLY])
        if {"out", "needs"} & set(self.operands):
            raise TypeError(f"{self.name}: 'out' and 'needs' are names of gradient parameters; "
                            f"no operand may have them")
        self.variadic = any([p.kind == p.VAR_POSITIONAL for p in parameters])
        self.most = PY_SSIZE_T_MAX if self.variadic else len(self.operands)
        self.defaults = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
        self.gradients = {}
        self.functions = (None,) * len(self.operands)
        self.plans = {}

    def vjp(self, **functions):
        """One gradient function per operand: (g, names...) -> Tensor or None.

        The names after g are the save list: operands, `out`, `out1` for the second of several
        results (and so on), static arguments, `NAME_shape` for the shape of operand NAME. Functions
        are made of Tensor operations, hence differentiable again. Returns self.
        """
        if self.variadic:
            raise TypeError(f"{self.name}: a primitive with *{self.operands[0]} takes vjp_joint")
        for name in functions:
            if name not in self.operands:
                raise TypeError(
                    f"{self.name}.vjp: {name!r} is no operand; operands are {self.operands}")
        self.gradients.update(functions)
        self.functions = tuple([self.gradients.get(k) for k in self.operands])
        self.differentiable = 0
        for i, f in enumerate(self.functions):
            if f is not None:
                self.differentiable |= <uint64_t>1 << i
                self.names_read(f)
        self.plans.clear()
        return self

    def vjp_joint(self, function):
        """One gradient function for all operands: (g, names...) -> tuple, None for no gradient.

        A parameter named `needs` receives one bool per operand. Returns self.
        """
        self.joint = function
        self.differentiable = ~<uint64_t>0
        self.names_read(function)
        self.plans.clear()
        return self

    def joint_of_function(self, function):
        """For `attach`: gradients are function(g or tuple of g, saved, **static)."""
        self.joint = function

    cdef list names_read(self, function):
        """Parameter names after g, checked."""
        names = list(inspect.signature(function).parameters)[1:]
        for name in names:
            if (name in ("out", "needs", "out0", "out1", "out2") or name in self.operands
                    or name in self.defaults):
                continue
            if name.endswith("_shape") and name.removesuffix("_shape") in self.operands:
                continue
            raise TypeError(f"{self.name}: gradient parameter {name!r} is neither an operand, "
                            f"'out', a static argument nor OPERAND_shape")
        return names

    cdef int slot(self, str name):
        if name == "out":
            return OUT
        if name in self.operands:
            return self.operands.index(name)
        if name in ("out0", "out1", "out2"):
            return NTH_OUT + int(name[3:])
        return SHAPE - self.operands.index(name.removesuffix("_shape"))

    cdef Plan plan(self, uint64_t mask):
        """The plan for the arguments in `mask`, made when first needed."""
        cdef Plan plan = <Plan>self.plans.get(mask)
        cdef Py_ssize_t i
        if plan is not None:
            return plan
        wanted = []
        for i in range(len(self.functions)):
            if self.joint is None and mask >> i & 1 and self.functions[i] is not None:
                wanted.append(self.names_read(self.functions[i]))
            else:
                wanted.append(None)
        joint = None if self.joint is None else self.names_read(self.joint)
        saved = [n for names in [*wanted, joint] if names for n in names
                 if n not in self.defaults and n != "needs"]
        slots = sorted({self.slot(n) for n in saved})

        def position(n):
            return n if n in self.defaults or n == "needs" else slots.index(self.slot(n))

        plan = Plan.__new__(Plan)
        plan.slots = tuple(slots)
        plan.named = True
        plan.holds = any([slot >= OUT for slot in slots])
        plan.reads = tuple([None if names is None else tuple(map(position, names))
                            for names in wanted])
        plan.joint = None if joint is None else tuple([position(n) for n in joint])
        self.plans[mask] = plan
        return plan

    def __call__(self, *args, **static):            # what runs is `called`, see below
        return called(self, args, <PyObject *>static)

    cdef object call_by_name(self, tuple args, dict static):
        """A call with operands given by name: their own, or PyTorch's of the first two; or with
        `out`, the tensor that receives the result."""
        static = static.copy()
        if "out" in static:
            out = static.pop("out")
            result = called(self, args, <PyObject *>static)
            return result if out is None else STORE(self.name, result, out, self.elementwise)
        for name, standard in zip(self.operands, ("input", "other")):
            if standard in static and standard != name:
                static[name] = static.pop(standard)
        bound = self.signature.bind(*args, **static)
        return self.call(bound.args, bound.kwargs or None)

    def inplace(self, *args, **static):
        """Run the primitive and put its result into the first operand, which is returned."""
        if not args or not isinstance(args[0], TensorBase):
            raise TypeError(f"{self.name}_: the first argument must be a Tensor")
        return self.call_inplace(args, static or None)

    def __get__(self, instance, owner):
        return self if instance is None else MethodType(self, instance)

    def __repr__(self):
        return f"<primitive {self.name}>"

    cdef object view_of(self, tuple arrays, dict static):
        """The forward of a view, outside the quiet context where it cannot copy or warn."""
        if not fdl_in_order(<object>PyTuple_GET_ITEM(arrays, 0)):
            return self.run(self.forward, arrays, arrays, static)
        try:
            return PyObject_Call(self.forward, arrays,
                                 NULL if static is None else <PyObject *>static)
        except Exception as error:
            explained = EXPLAIN(self, arrays, error)
            if explained is error:
                raise
            raise explained from None

    cdef object run(self, object function, tuple arrays, tuple args, dict static):
        """function(*args, **static), silent about infinities, its failures worded as PyTorch's."""
        global spare_context
        cdef object quiet = spare_context if spare_context is not None else QUIET_CONTEXT()
        spare_context = None
        try:
            y = fdl_call_in(quiet, function, args, NULL if static is None else <PyObject *>static)
        except Exception as error:
            explained = EXPLAIN(self, arrays, error)
            if explained is error:
                raise
            raise explained from None
        finally:
            spare_context = quiet
        return fdl_as_array(y)

    cdef object computed(self, tuple arrays, dict static):
        """The forward of arrays that are not all of float32, or all of float64."""
        cdef tuple wide
        if self.half or not fdl_half(arrays):
            return self.run(self.forward, arrays, arrays, static)
        wide = tuple([WIDEN(a) for a in arrays])
        if self.kernel is not None and fdl_kernel_ready(wide, self.takes):
            y = self.run(self.kernel, wide, wide, static)
            if y is not NotImplemented:
                return NARROW(y, arrays)
        return NARROW(self.run(self.forward, wide, wide, static), arrays)

    cdef tuple unwrap(self, tuple args, uint64_t *mask):
        """Arrays of the operands; bits of those that have a node. None if one of them stands for
        the examples of a batch."""
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
        cdef tuple arrays = PyTuple_New(n)
        cdef TensorBase t
        cdef int uniform
        mask[0] = 0
        if n > self.most or n == 0:     # a ufunc would write into one too many
            self.signature.bind(*args)  # says so
        for i in range(n):
            a = <object>PyTuple_GET_ITEM(args, i)
            if isinstance(a, TensorBase):
                t = <TensorBase>a
                if (t.version is not None and t.epoch != t.version.epoch and t.epoch >= 0
                        and fdl_recording):
                    view_again(t)
                if t.node is not None:
                    mask[0] |= <uint64_t>1 << (i if i < 63 else 63)
                a = t.array
            elif type(a) is BATCHED:
                return None
            Py_INCREF(a)
            PyTuple_SET_ITEM(arrays, i, a)
        if self.promotes:
            uniform = fdl_uniform(arrays, self.floating)
            if uniform == 0:
                arrays = <tuple>PROMOTE(self, arrays, self.floating)
            elif uniform > 1 and self.boxes:
                fdl_box(arrays, uniform)
        elif self.takes != FDL_FLOATS:
            fdl_box_beside(arrays, self.takes)
        return arrays

    cdef object call(self, tuple args, dict static):
        if observer is None:
            return self.perform(args, static)
        start = perf_counter_ns()
        try:
            return self.perform(args, static)
        finally:
            observer(self, start, perf_counter_ns(), args)

    cdef object perform(self, tuple args, dict static):
        cdef uint64_t mask
        if fdl_autocast and self.autocast:
            args = AUTOCAST(args, self.autocast)
        cdef tuple arrays = self.unwrap(args, &mask)
        cdef object y
        cdef TensorBase out
        cdef Node node
        cdef tuple results
        if arrays is None:
            return BATCH(self, args, {} if static is None else static)
        if (self.spends and spare != NULL and <PyObject *>PyTuple_GET_ITEM(args, 0) == spare
                and PyTuple_GET_SIZE(arrays) == 2 and fdl_alike(arrays[0], arrays[1]) == 1):
            self.write(arrays[0], arrays, static)
            return args[0]
        if self.view:
            y = self.view_of(arrays, static)
        elif self.kernel is not None and fdl_kernel_ready(arrays, self.takes):
            y = self.run(self.kernel, arrays, arrays, static)
            if y is NotImplemented:
                y = self.computed(arrays, static)
        else:
            y = self.computed(arrays, static)
        mask &= self.differentiable
        if type(y) is tuple:
            results = tuple([wrap(fdl_as_array(a)) for a in <tuple>y])
            if self.view and isinstance(args[0], TensorBase):
                for r in results:
                    if fdl_shares((<TensorBase>r).array, (<TensorBase>args[0]).array):
                        look_at(<TensorBase>r, <TensorBase>args[0])
            if mask and fdl_recording:
                self.record_several(args, arrays, static, mask, results)
            return results
        out = <TensorBase>wrap(y)
        if self.view and isinstance(<object>PyTuple_GET_ITEM(args, 0), TensorBase):
            if fdl_shares(y, <object>PyTuple_GET_ITEM(arrays, 0)):
                look_at(out, <TensorBase>PyTuple_GET_ITEM(args, 0))
        if mask and fdl_recording and is_inexact(y):
            node = self.node_for(args, arrays, static, mask, y)
            self.save(node, args, out)
            out.node = node
        return out

    cdef object record_several(self, tuple args, tuple arrays, dict static, uint64_t mask,
                               tuple results):
        """A node for a call with several results, the floating ones of which get it."""
        cdef Node node = self.node_for(args, arrays, static, mask, None)
        cdef TensorBase out
        cdef Py_ssize_t i
        node.outputs = <int>len(results)
        for i in range(node.outputs):
            out = <TensorBase>results[i]
            if is_inexact(out.array):
                out.node = node
                out.index = <int>i
        self.save(node, args, results)

    cdef Node node_for(self, tuple args, tuple arrays, dict static, uint64_t mask, object y):
        """A node for this call, all but its saved values."""
        global clock
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
        cdef Node node = Node.__new__(Node)
        cdef TensorBase t
        cdef tuple parents = PyTuple_New(n)
        cdef bint indexed = False, fits = True
        cdef int alike
        for i in range(n):
            a = <object>PyTuple_GET_ITEM(args, i)
            parent = None
            if isinstance(a, TensorBase) and self.differentiable >> (i if i < 63 else 63) & 1:
                t = <TensorBase>a
                parent = t.node
                if t.index and parent is not None:
                    indexed = True
                if self.elementwise and parent is not None:
                    alike = fdl_alike(t.array, y)
                    if alike < 0:
                        alike = t.array.shape == y.shape and t.array.dtype == y.dtype
                    if not alike:
                        fits = False
            Py_INCREF(parent)
            PyTuple_SET_ITEM(parents, i, parent)
        node.op = self
        node.parents = parents
        node.static = static
        node.outputs = 1
        node.plan = self.plan(0 if self.variadic else mask)
        if indexed:
            node.indices = tuple([0 if p is None else (<TensorBase>a).index
                                  for a, p in zip(args, parents)])
        if not fits:
            node.fits = tuple([None if p is None else (a.array.shape, a.array.dtype)
                               for a, p in zip(args, parents)])
        clock += 1
        node.created = clock
        if anomaly:
            note_origin(node)
        return node

    cdef object save(self, Node node, tuple args, object out):
        """Save what the plan names: inputs themselves, the output without its node (no cycle)."""
        cdef tuple slots = node.plan.slots
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(slots)
        cdef tuple saved = PyTuple_New(n)
        cdef bint changed = False
        cdef int slot, which
        for i in range(n):
            slot = <object>PyTuple_GET_ITEM(slots, i)
            if slot == OUT:
                value = shadow(out) if type(out) is not tuple else tuple([shadow(t) for t in out])
            elif slot >= NTH_OUT:
                value = shadow(<TensorBase>out[slot - NTH_OUT])
            elif self.variadic:
                value = args if slot >= 0 else tuple([shape_of(a) for a in args])
            else:
                which = slot if slot >= 0 else SHAPE - slot
                value = args[which] if which < PyTuple_GET_SIZE(args) else None
                if slot < 0:
                    value = shape_of(value)
            if count_of(value):
                changed = True
            if inferred and isinstance(value, TensorBase):
                refuse_inference(<TensorBase>value)
            Py_INCREF(value)
            PyTuple_SET_ITEM(saved, i, value)
        node.saved = saved
        if changed:
            node.versions = tuple([count_of(v) for v in saved])
        if packing:
            pack_saved(node)

    cdef object call_inplace(self, tuple args, dict static):
        if observer is None:
            return self.perform_inplace(args, static)
        start = perf_counter_ns()
        try:
            return self.perform_inplace(args, static)
        finally:
            observer(self, start, perf_counter_ns(), args)

    cdef object perform_inplace(self, tuple args, dict static):
        cdef TensorBase target = <TensorBase>PyTuple_GET_ITEM(args, 0)
        cdef uint64_t mask
        cdef tuple arrays = self.unwrap(args, &mask)
        cdef Node node
        cdef Version version = version_of(target)
        if arrays is None:
            raise TypeError(f"{self.name}_: a tensor outside of vmap cannot hold a batch")
        cdef Py_ssize_t n = PyTuple_GET_SIZE(args)
        cdef bint recorded = fdl_recording and mask != 0
        cdef tuple before = args
        if not fdl_is_writable(target.array):
            raise RuntimeError(REPEATED if repeats(target.array) else READ_ONLY)
        if target.inference and not fdl_inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed. You can "
                "make a clone to get a normal tensor before doing inplace update.")
        if recorded:
            self.refuse(target)
            # The old target is a tensor of its own (this one will point to the new node), with its
            # own values where a gradient reads them.
            slots = self.plan(mask & self.differentiable).slots
            needs_values = mask & self.differentiable and 0 in slots
            before = (former(target, needs_values),) + args[1:]
            if n > 1 and any([a is target for a in args[1:]]):
                # y.mul_(y): saved as a factor, y would hold its own node. An alias does not, and as
                # it shares the version, backward sees that it was overwritten.
                same = shadow(target)
                (<TensorBase>same).node = target.node
                before = before[:1] + tuple([same if a is target else a for a in args[1:]])
        self.write(target.array, arrays, static)
        mask &= self.differentiable
        if recorded:
            if mask:
                node = self.node_for(before, arrays, static, mask, target.array)
                self.save(node, before, target)
            if mask and target.node is not None and target.node.retained is not None:
                node.retained = move_retained(target)
            target.node = node if mask else None
            target.index = 0
            history_changed(target)
        version.version += 1
        if recorded and mask and OUT in node.plan.slots:
            # The saved output is the value after this very change.
            counts = node.versions or (0,) * len(node.saved)
            node.versions = tuple([count_of(v) if s == OUT else c
                                   for v, s, c in zip(node.saved, node.plan.slots, counts)])
        return target

    cdef object refuse(self, TensorBase target):
        """In-place operations that PyTorch forbids, or that would leave wrong histories behind."""
        if target.node is not None and target.node.op is None:
            raise RuntimeError(LEAF_IN_PLACE)
        if not is_inexact(target.array):
            raise RuntimeError(f"{self.name}_: only floating point tensors can record an in-place "
                               f"operation, not {target.array.dtype}")
        if not target.is_view:
            return
        if target.base is None:
            if target.version.aliases > 1:
                raise RuntimeError(
                    f"{self.name}_: a view that was created in no_grad mode is being modified in "
                    f"place in a recorded operation. Take the view, too, where gradients are "
                    f"recorded")
        elif target.base.node is not None and target.base.node.op is None:
            raise RuntimeError(LEAF_IN_PLACE.replace("a leaf", "a view of a leaf"))
        elif Py_REFCNT(<PyObject *>target.base) == 1 and target.version.aliases == 2:
            target.base = None              # nobody else can see the base: the view stands alone
            target.is_view = False
        elif GEOMETRY(target.base.array, target.array) is not None and repeats(target.array):
            raise RuntimeError(REPEATED)

    cdef object write(self, object array, tuple arrays, dict static):
        if self.kernel is not None and fdl_kernel_ready((array,) + arrays, self.takes):
            options = {"out": array} if static is None else {"out": array, **static}
            if self.run(self.kernel, (array,) + arrays[1:], arrays, options) is not NotImplemented:
                return
        if self.into is not None and (self.half or not fdl_half(arrays)):
            self.run(self.into, (array,) + arrays[1:], (array,) + arrays, static)
            return
        PUT(array, self.computed(arrays, static))


cdef bint repeats(object array) except -1:
    """Are several elements one in memory?"""
    return any([n > 1 and step == 0 for n, step in zip(array.shape, array.strides)])


cdef object called(Primitive op, tuple args, PyObject *keywords):
    """op(*args, **keywords). Cython's own entry would copy the keywords, which nobody changes."""
    cdef dict static
    cdef PyObject *given = NULL
    if keywords == NULL or not <dict>keywords:
        return op.call(args, None)
    static = <dict>keywords
    for name, value in static.items():
        if name not in op.defaults:
            return op.call_by_name(args, static)
        given = <PyObject *>value
    if op.quick != NULL and observer is None and PyTuple_GET_SIZE(args) == 1 and (
            len(static) == 1 and is_plain(<object>PyTuple_GET_ITEM(args, 0))):
        y = op.quick(op, <object>PyTuple_GET_ITEM(args, 0), &given, 1)
        if y is not None:
            return y
    return op.call(args, static)


cdef dict move_retained(TensorBase t):
    """The wish of `t` to keep its gradient, taken from its node for that of a change in place."""
    wish = t.node.retained.pop(t.index, None)
    return None if wish is None else {0: wish}


cdef int refuse_inference(TensorBase t) except -1:
    if t.inference and not fdl_inference:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in "
            "inference mode in computation tracked by autograd. To work around this, you can make "
            "a clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` "
            "instead of `torch.inference_mode()`.")
    return 0


cdef int history_changed(TensorBase t) except -1:
    """Tell base and views of `t` of its new node, that of a recorded change in place."""
    cdef Version version = version_of(t)
    if t.base is not None:
        base_follows(t)
    elif version.aliases > 1:
        version.epoch += 1
        t.epoch = version.epoch
    return 0


cdef object shape_of(object a):
    return (<TensorBase>a).array.shape if isinstance(a, TensorBase) else getattr(a, "shape", ())


cdef object shadow(TensorBase t):
    """The output `t` as its own node may save it: same array and version, no node."""
    cdef TensorBase s = <TensorBase>wrap(t.array)
    s.version = version_of(t)
    s.epoch = -1
    s.index = t.index
    return s


cdef object former(TensorBase t, bint needs_values):
    """`t` as it is now, for the history of an in-place operation on it."""
    cdef TensorBase s = <TensorBase>wrap(t.array.copy() if needs_values else t.array)
    s.node = t.node
    s.index = t.index
    return s


def attach(Primitive op, tuple inputs, tuple outputs, tuple saved, dict static, tuple dirty=()):
    """Record a call that the engine did not run: `autograd.Function`.

    The node is `op`'s, whose joint gradient is called as joint(g or tuple of g, saved, **static).
    Of `inputs`, Tensors with a history become parents. `saved` may hold inputs and outputs; `dirty`
    are the outputs that are inputs, changed in place.
    """
    global clock
    cdef Node node
    cdef TensorBase t
    cdef Py_ssize_t i
    for value in outputs:
        if value is not None:
            <TensorBase?>value          # a stand-in of vmap is none, whatever Python believes
    node = Node.__new__(Node)
    node.op = op
    for t in dirty:
        op.refuse(t)
    known = [isinstance(a, TensorBase) for a in inputs]
    node.parents = tuple([(<TensorBase>a).node if k else None for a, k in zip(inputs, known)])
    node.indices = tuple([(<TensorBase>a).index if k else 0 for a, k in zip(inputs, known)])
    node.fits = tuple([None if p is None else (a.array.shape, a.array.dtype)
                       for a, p in zip(inputs, node.parents)])
    node.static = static
    node.outputs = <int>len(outputs)
    node.plan = Plan.__new__(Plan)
    clock += 1
    node.created = clock
    slots = []
    values = []
    for value in saved:
        where = -1
        for i in range(len(outputs)):
            if outputs[i] is value:
                where = i
        slots.append(OUT if where >= 0 else 0)
        if where >= 0:
            (<TensorBase>value).index = <int>where
            value = shadow(<TensorBase>value)
        values.append(value)
    node.plan.slots = tuple(slots)
    node.plan.holds = len(slots) > 0
    node.saved = tuple(values)
    node.versions = tuple([count_of(v) for v in values])
    if inferred:
        for value in values:
            if isinstance(value, TensorBase):
                refuse_inference(<TensorBase>value)
    if packing:
        pack_saved(node)
    if anomaly:
        note_origin(node)
    for i in range(node.outputs):
        if outputs[i] is not None:
            t = <TensorBase>outputs[i]
            t.node = node
            t.index = <int>i
    for t in dirty:
        history_changed(t)
