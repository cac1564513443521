# The backward walk: included by _engine.pyx.

cdef class Heap:
    """Nodes by falling creation number. Holds no references: the pending gradients do."""
    cdef PyObject **items
    cdef Py_ssize_t size, room

    def __dealloc__(self):
        PyMem_Free(self.items)

    cdef int push(self, Node node) except -1:
        cdef Py_ssize_t i = self.size, up
        cdef PyObject **grown
        if i == self.room:
            self.room = 64 if self.room == 0 else self.room * 2
            grown = <PyObject **>PyMem_Realloc(self.items, self.room * sizeof(PyObject *))
            if grown == NULL:
                raise MemoryError("backward: no memory for the heap of nodes")
            self.items = grown
        self.size += 1
        while i > 0:
            up = (i - 1) >> 1
            if (<Node>self.items[up]).created >= node.created:
                break
            self.items[i] = self.items[up]
            i = up
        self.items[i] = <PyObject *>node
        return 0

    cdef Node pop(self):
        cdef Node top = <Node>self.items[0]
        cdef PyObject *last
        cdef Py_ssize_t i = 0, child
        self.size -= 1
        last = self.items[self.size]
        while True:
            child = 2 * i + 1
            if child >= self.size:
                break
            if (child + 1 < self.size and (<Node>self.items[child + 1]).created
                    > (<Node>self.items[child]).created):
                child += 1
            if (<Node>last).created >= (<Node>self.items[child]).created:
                break
            self.items[i] = self.items[child]
            i = child
        self.items[i] = last
        return top


@cython.final
cdef class Walk:
    """One backward pass."""
    cdef Heap heap
    cdef dict pending                   # Node -> gradient; list of them for several outputs
    cdef set needed                     # nodes on a path to a target; None: all
    cdef dict targets                   # (Node, output) -> positions in `found`
    cdef list found
    cdef list roots                     # pairs (node, output)
    cdef set reached                    # nodes below them, when somebody asks
    cdef int64_t number                 # tells passes apart
    cdef bint retain, create

    cdef int add(self, Node node, int index, object g) except -1:
        """Add `g` to what is pending for output `index` of `node`."""
        cdef object old
        if node.outputs > 1:
            slots = self.pending.get(node)
            if slots is None:
                slots = self.pending[node] = [None] * node.outputs
                self.heap.push(node)
            old = slots[index]
            slots[index] = g if old is None else old + g
            return 0
        old = self.pending.get(node)
        if old is None:
            self.pending[node] = g
            self.heap.push(node)
        elif self.ours(old) and fdl_alike((<TensorBase>old).array, (<TensorBase>g).array) == 1:
            add_into(<TensorBase>old, <TensorBase>g)
        else:
            self.pending[node] = old + g
        return 0

    cdef inline bint ours(self, TensorBase old):
        """Does nobody but `pending` hold this gradient and its memory? Then it may be added to."""
        return (not self.create and old.node is None and Py_REFCNT(<PyObject *>old) == 2
                and fdl_exclusive(<PyObject *>old.array))

    cdef object hooked(self, Node node, int index, object g):
        """`g` after the hooks of that output; keeps it where `retain_grad` asked for it."""
        if node.hooks is not None:
            for hook in list(node.hooks.get(index, {}).values()):
                replaced = hook(g)
                if replaced is not None:
                    check_hook(hook, replaced, g)
                    g = replaced
        if node.retained is not None and index in node.retained:
            tensor = node.retained[index]()
            if tensor is not None:
                accumulate(<TensorBase>tensor, g)
        return g

    cdef int run(self) except -1:
        cdef Node node
        cdef object g
        cdef int i
        while self.heap.size:
            node = self.heap.pop()
            g = self.pending.pop(node)
            if node.hooks is not None or node.retained is not None:
                if node.outputs == 1:
                    g = self.hooked(node, 0, g)
                else:
                    for i in range(node.outputs):
                        if g[i] is not None:
                            g[i] = self.hooked(node, i, g[i])
            if self.targets is not None:
                for i in range(node.outputs):
                    where = self.targets.get((node, i))
                    if where is not None:
                        for k in where:
                            self.found[k] = g if node.outputs == 1 else g[i]
                if node not in self.needed:
                    continue
            if node.extras is not None:
                g = self.before(node, g)
            if node.op is None:
                if self.targets is None and node.leaf != NULL:
                    accumulate(<TensorBase>node.leaf, g)
                    if node.extras is not None:
                        accumulated(node)
                        for hook in node.hooks_now("after"):
                            hook((), (g,))
            elif observer is None and not anomaly:
                self.step(node, g)
            else:
                self.watched_step(node, g)
        return 0

    cdef object before(self, Node node, object g):
        """What the prehooks of `node` make of the gradients of its outputs."""
        for hook in node.hooks_now("before"):
            replaced = hook(tuple(g) if node.outputs > 1 else (g,))
            if replaced is None:
                continue
            if not isinstance(replaced, tuple):
                replaced = (replaced,)
            if len(replaced) != node.outputs:
                raise RuntimeError(f"hook '{name_of(hook)}' has returned an incorrect number of "
                                   f"values (got {len(replaced)}, but expected {node.outputs})")
            for new, old in zip(replaced, g if node.outputs > 1 else (g,)):
                if new is not None and old is not None:
                    check_hook(hook, new, old)
            g = list(replaced) if node.outputs > 1 else replaced[0]
        return g

    cdef int watched_step(self, Node node, object g) except -1:
        """`step` that is timed, or whose failure names the forward call."""
        start = perf_counter_ns()
        try:
            self.step(node, g)
        except Exception:
            if anomaly:
                tell_origin(node)
            raise
        if observer is not None:
            observer(node, start, perf_counter_ns(), None)
        return 0

    cdef int step(self, Node node, object g) except -1:
        """Run the gradient functions of `node` and hand their results to its parents."""
        global spare
        cdef Plan plan = node.plan
        cdef tuple saved, reads, parents = node.parents
        cdef Primitive op = node.op
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(parents)
        cdef Node parent
        cdef int index
        cdef list after = None              # results, kept for hooks
        cdef bint turned
        # May a gradient function write to g? Nobody holds it but `run`, nobody will look at it.
        cdef bint alone = (n == 1 and op.elementwise and not self.create and node.extras is None
                           and Py_REFCNT(<PyObject *>g) == 1 and isinstance(g, TensorBase)
                           and fdl_exclusive(<PyObject *>(<TensorBase>g).array))
        check_versions(node)
        saved = unpacked(node)
        if self.create:
            saved = with_history(node, saved)
        # A Function's backward (joint, without a plan for it) follows the convention by itself.
        turned = op.conjugates and (op.joint is None or plan.joint is not None) and any_complex(g)
        given = tuple(g) if node.outputs > 1 else g     # to assign to g would count it once more
        h = conjugated(given) if turned else given
        if op.joint is not None:
            if plan.joint is None:                          # attach(): Function.backward takes all
                results = op.joint(h, saved, **node.static)
            else:
                results = op.joint(h, *self.arguments(node, plan.joint, saved))
            if type(results) is not tuple or len(results) != n:
                raise RuntimeError(f"{op.name}: the gradient function returned {len(results)} "
                                   f"gradients for {n} arguments")
        else:
            results = None
        if node.extras is not None and node.hooks_now("after"):
            after = [None] * n
        for i in range(n):
            parent = <Node>PyTuple_GET_ITEM(parents, i)
            if parent is None:
                continue
            index = 0 if node.indices is None else <int>node.indices[i]
            if (self.needed is not None and parent not in self.needed
                    and (parent, index) not in self.targets):
                continue
            if results is not None:
                gi = results[i]
            else:
                reads = <tuple>plan.reads[i]
                if alone:
                    spare = <PyObject *>h
                try:
                    if PyTuple_GET_SIZE(reads) == 0:
                        gi = op.functions[i](h)
                    else:
                        gi = op.functions[i](h, *self.arguments(node, reads, saved))
                finally:
                    spare = NULL
            if gi is None:
                continue
            if not isinstance(gi, TensorBase):
                raise TypeError(f"{op.name}: the gradient of argument {i} is a "
                                f"{type(gi).__name__}, not a Tensor")
            if turned and fdl_is_complex((<TensorBase>gi).array):
                gi = CONJ(gi)
            if node.fits is not None:
                shape, dtype = node.fits[i]
                if (<TensorBase>gi).array.shape != shape or (<TensorBase>gi).array.dtype != dtype:
                    gi = FIT(gi, shape, dtype)
            if anomaly > 1:
                refuse_nan(node, i, <TensorBase>gi)
            if after is None:
                self.add(parent, index, gi)
            else:
                after[i] = gi
        if after is not None:
            for i, gi in enumerate(hooked_after(node, tuple(after), given)):
                if gi is not None and PyTuple_GET_ITEM(parents, i) != <PyObject *>None:
                    self.add(<Node>PyTuple_GET_ITEM(parents, i),
                             0 if node.indices is None else <int>node.indices[i], gi)
        if not self.retain and plan.holds:
            node.saved = None
        return 0

    cdef list arguments(self, Node node, tuple reads, tuple saved):
        cdef list values = []
        for where in reads:
            if type(where) is int:
                values.append(saved[<Py_ssize_t>where])
            elif where == "needs":
                values.append(tuple([p is not None for p in node.parents]))
            elif node.static is not None and where in node.static:
                values.append(node.static[where])
            else:
                values.append(node.op.defaults[where])
        return values


cdef bint any_complex(object g):
    """Is the gradient, or one of several outputs', complex?"""
    if isinstance(g, TensorBase):
        return fdl_is_complex((<TensorBase>g).array)
    return any([h is not None and fdl_is_complex((<TensorBase>h).array) for h in g])


cdef object conjugated(object g):
    if isinstance(g, TensorBase):
        return CONJ(g)
    return tuple([None if h is None else CONJ(h) if any_complex(h) else h for h in g])


cdef object check_versions(Node node):
    """Raise, naming the value, when one that `node` saved was changed in place since."""
    cdef Py_ssize_t i
    cdef int64_t count, expected
    if node.saved is None or node.packed:
        return None
    for i in range(PyTuple_GET_SIZE(node.saved)):
        value = node.saved[i]
        count = count_of(value)
        expected = 0 if node.versions is None else <int64_t>node.versions[i]
        if count != expected:
            while isinstance(value, tuple):
                value = value[0]
            array = (<TensorBase>value).array
            made_by = (<TensorBase>value).node
            if node.plan.slots[i] == OUT or node.plan.slots[i] >= NTH_OUT:
                made_by = node
            of = ("" if made_by is None else
                  f", which is output {(<TensorBase>value).index} of {made_by.name()},")
            library = TENSOR.__module__.partition(".")[0]
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: [{library}.{array.dtype} {list(array.shape)}]{of} is at "
                f"version {count}; expected version {expected} instead. Hint: {node.name()} saved "
                f"it: write out of place, or clone() it first; enable anomaly detection to find "
                f"the operation that failed to compute its gradient, with "
                f"{library}.autograd.set_detect_anomaly(True).")


cdef str name_of(object hook):
    return getattr(hook, "__name__", type(hook).__name__)


cdef int check_hook(object hook, object new, object old) except -1:
    """A hook may replace a gradient by another of the same shape only."""
    if not isinstance(new, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
    if (<TensorBase>new).array.shape != (<TensorBase>old).array.shape:
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the size of value")
    if (<TensorBase>new).array.dtype != (<TensorBase>old).array.dtype:
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the type of value (was "
                           f"{(<TensorBase>old).array.dtype} got {(<TensorBase>new).array.dtype})")
    return 0


cdef tuple hooked_after(Node node, tuple inputs, object g):
    """The gradients that `node` computed, after its hooks."""
    outputs = g if node.outputs > 1 else (g,)
    for hook in node.hooks_now("after"):
        replaced = hook(inputs, outputs)
        if replaced is None:
            continue
        if not isinstance(replaced, tuple):
            replaced = (replaced,)
        if len(replaced) != len(inputs):
            raise RuntimeError(f"hook '{name_of(hook)}' has returned an incorrect number of values "
                               f"(got {len(replaced)}, but expected {len(inputs)})")
        for new, old in zip(replaced, inputs):
            if new is not None and old is not None:
                check_hook(hook, new, old)
        inputs = replaced
    return inputs


cdef int accumulated(Node leaf) except -1:
    """Call the hooks that wait for the gradient of a leaf."""
    for hook in leaf.hooks_now("accumulated"):
        if leaf.leaf != NULL:
            hook(<object>leaf.leaf)
    return 0


cdef int refuse_nan(Node node, Py_ssize_t argument, TensorBase g) except -1:
    if (g.array != g.array).any():
        raise RuntimeError(
            f"Function '{node.name()}' returned nan values in its {argument}th output.")
    return 0


cdef tuple with_history(Node node, tuple saved):
    """The saved values, outputs joined to their node again: for create_graph."""
    cdef list values = []
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(saved)):
        value = saved[i]
        if node.plan.slots[i] == OUT:
            value = (tuple([joined(t, node) for t in value]) if type(value) is tuple
                     else joined(value, node))
        elif node.plan.slots[i] >= NTH_OUT:
            value = joined(value, node)
        values.append(value)
    return tuple(values)


cdef object joined(TensorBase s, Node node):
    cdef TensorBase t = <TensorBase>shadow(s)
    if is_inexact(t.array):
        t.node = node
    return t


cdef int add_into(TensorBase t, TensorBase g) except -1:
    """t += g on the arrays."""
    ADD.write(t.array, (t.array, g.array), None)
    return 0


cdef int accumulate(TensorBase t, object g) except -1:
    """Add `g` to t.grad without ever sharing memory with anything the user holds."""
    cdef TensorBase old = <TensorBase>t._grad, new = <TensorBase>g
    if fdl_alike(new.array, t.array) == 0 and new.array.dtype != t.array.dtype:
        new = FIT(new, new.array.shape, t.array.dtype)  # of a float32 parameter of a bfloat16 op
    if new.array.shape != t.array.shape:
        raise RuntimeError(f"gradient of shape {list(new.array.shape)} for a tensor of shape "
                           f"{list(t.array.shape)}")
    if old is None:
        if fdl_recording:
            t._grad = CLONE(new)
        elif (Py_REFCNT(<PyObject *>new) == 2 and fdl_exclusive(<PyObject *>new.array)
                and new.node is None):
            t._grad = new                                   # only the walk and `new` know of it
        else:
            t._grad = wrap(new.array.copy(order="C") if new.array.ndim else new.array.copy())
        t.owns_grad = True
    elif (not fdl_recording and t.owns_grad and old.node is None
            and fdl_alike(old.array, new.array) == 1):
        add_into(old, new)
        if old.version is not None:
            old.version.version += 1
    else:
        t._grad = old + new
        t.owns_grad = True
    return 0


def accumulate_grad(TensorBase tensor, TensorBase g):
    """Add `g` to `tensor.grad` as a backward pass does."""
    accumulate(tensor, g)
    if tensor.node is not None and tensor.node.op is None and tensor.node.extras is not None:
        accumulated(tensor.node)


cdef int64_t passes = 0                 # backward passes so far


cpdef tuple edge_of(object item):
    """(node, output) of a tensor; GradientEdge has them already."""
    if isinstance(item, TensorBase):
        return (<TensorBase>item).node, (<TensorBase>item).index
    return (<Node?>item[0]), item[1]


def backward(list roots, list seeds, bint retain_graph, bint create_graph, targets=None):
    """Run the graph backwards from `roots` with gradients `seeds`.

    Without targets, leaves accumulate into `.grad` and None is returned; with a list of targets
    their gradients are returned (None where no path leads), nothing is accumulated, and only nodes
    on a path to a target run. Roots and targets: tensors, or pairs (node, output).
    """
    global fdl_recording, fdl_walk, passes
    cdef Walk walk = Walk.__new__(Walk)
    cdef PyObject *outer = fdl_walk
    cdef Py_ssize_t i
    cdef int before = fdl_recording
    cdef list edges = [edge_of(root) for root in roots]
    for seed in seeds:
        <TensorBase?>seed               # a stand-in of vmap is none, whatever Python believes
    walk.heap = Heap.__new__(Heap)
    walk.pending = {}
    walk.retain = retain_graph
    walk.create = create_graph
    walk.roots = edges
    passes += 1
    walk.number = passes
    if targets is not None:
        walk.targets = {}
        walk.found = [None] * len(targets)
        for i, target in enumerate(targets):
            walk.targets.setdefault(edge_of(target), []).append(i)
        walk.needed = paths_to(reachable(edges), {key[0] for key in walk.targets})
    fdl_walk = <PyObject *>walk
    fdl_recording = create_graph and not fdl_inference
    try:
        for edge, seed in zip(edges, seeds):
            walk.add(edge[0], edge[1], seed)
        walk.run()
    finally:
        fdl_recording = before
        fdl_walk = outer
    return walk.found


cdef Walk running():
    """The pass that runs in this thread, or None."""
    return None if fdl_walk == NULL else <Walk>fdl_walk


def will_execute(Node node):
    """Does the pass that runs in this thread come to `node`? RuntimeError outside of a pass."""
    cdef Walk walk = running()
    if walk is None:
        raise RuntimeError("will_execute: expected to be called during a backward pass")
    if walk.targets is not None:
        return node in walk.needed or any([node is key[0] for key in walk.targets])
    if walk.reached is None:
        walk.reached = reachable(walk.roots)
    return node in walk.reached


def current_pass():
    """A number that tells the backward pass running in this thread from others; -1: none runs."""
    cdef Walk walk = running()
    return -1 if walk is None else walk.number


def collects():
    """Does the backward pass running in this thread return gradients, rather than accumulate?"""
    cdef Walk walk = running()
    return walk is not None and walk.targets is not None


def leaves_of(tensors):
    """The leaf nodes below tensors."""
    cdef list edges = [edge_of(t) for t in tensors if t.requires_grad]
    return {node for node in reachable(edges) if (<Node>node).op is None}


cdef set reachable(list edges):
    """All nodes below `edges`."""
    cdef set seen = set()
    cdef list stack = [edge[0] for edge in edges]
    cdef Node node
    while stack:
        node = <Node>stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op is not None:
            for parent in node.parents:
                if parent is not None and parent not in seen:
                    stack.append(parent)
    return seen


cdef set paths_to(set seen, set targets):
    """Nodes on a path to a target; targets themselves only if they lead to another."""
    cdef set needed = set()
    cdef Node node
    for node in sorted(seen, key=created_of):
        if node.op is not None:
            for parent in node.parents:
                if parent is not None and (parent in needed or parent in targets):
                    needed.add(node)
                    break
    return needed


cdef int64_t _created(Node node):
    return node.created


def created_of(Node node):
    """Creation number of a node: parents have smaller ones."""
    return node.created
