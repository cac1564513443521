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
                    if not isinstance(replaced, TensorBase):
                        raise TypeError(f"hook: expected to return None or a Tensor, got "
                                        f"{type(replaced).__name__}")
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
            if node.op is None:
                if self.targets is None and node.leaf != NULL:
                    accumulate(<TensorBase>node.leaf, g)
                continue
            self.step(node, g)
        return 0

    cdef int step(self, Node node, object g) except -1:
        """Run the gradient functions of `node` and hand their results to its parents."""
        cdef Plan plan = node.plan
        cdef tuple saved = node.saved, reads, parents = node.parents
        cdef Primitive op = node.op
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(parents)
        cdef Node parent
        cdef int index
        if saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after "
                "they have already been freed). Saved intermediate values of the graph are freed "
                "when you call "
                ".backward() or autograd.grad(). Specify retain_graph=True if you need to "
                "backward through the "
                "graph a second time or if you need to access saved tensors after calling "
                "backward.")
        check_versions(node)
        if self.create:
            saved = with_history(node)
        if node.outputs > 1:
            g = tuple(g)
        if op.joint is not None:
            if plan.joint is None:                          # attach(): Function.backward takes all
                results = op.joint(g, saved, **node.static)
            else:
                results = op.joint(g, *self.arguments(node, plan.joint, saved))
            if type(results) is not tuple or len(results) != n:
                raise RuntimeError(f"{op.name}: the gradient function returned {len(results)} "
                                   f"gradients for {n} arguments")
        else:
            results = None
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
                if PyTuple_GET_SIZE(reads) == 0:
                    gi = op.functions[i](g)
                else:
                    gi = op.functions[i](g, *self.arguments(node, reads, saved))
            if gi is None:
                continue
            if not isinstance(gi, TensorBase):
                raise TypeError(f"{op.name}: the gradient of argument {i} is a "
                                f"{type(gi).__name__}, not a Tensor")
            if node.fits is not None:
                shape, dtype = node.fits[i]
                if (<TensorBase>gi).array.shape != shape or (<TensorBase>gi).array.dtype != dtype:
                    gi = FIT(gi, shape, dtype)
            self.add(parent, index, gi)
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


cdef object check_versions(Node node):
    """Raise, naming the value, when one that `node` saved was changed in place since."""
    cdef Py_ssize_t i
    cdef int64_t count, expected
    for i in range(PyTuple_GET_SIZE(node.saved)):
        value = node.saved[i]
        count = count_of(value)
        expected = 0 if node.versions is None else <int64_t>node.versions[i]
        if count != expected:
            while isinstance(value, tuple):
                value = value[0]
            array = (<TensorBase>value).array
            made_by = (<TensorBase>value).node
            if node.plan.slots[i] == OUT:
                made_by = node
            of = ("" if made_by is None else
                  f", which is output {(<TensorBase>value).index} of {made_by.name()},")
            library = TENSOR.__module__.partition(".")[0]
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: [{library}.{array.dtype} {list(array.shape)}]{of} is at "
                f"version {count}; expected version {expected} instead. {node.name()} saved it: "
                f"write out of place, or clone() it first.")


cdef tuple with_history(Node node):
    """The saved values, outputs joined to their node again: for create_graph."""
    cdef list values = []
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(node.saved)):
        value = node.saved[i]
        if node.plan.slots[i] == OUT:
            value = (tuple([joined(t, node) for t in value]) if type(value) is tuple
                     else joined(value, node))
        values.append(value)
    return tuple(values)


cdef object joined(TensorBase s, Node node):
    cdef TensorBase t = <TensorBase>shadow(s)
    if is_floating(t.array):
        t.node = node
    return t


cdef int add_into(TensorBase t, TensorBase g) except -1:
    """t += g on the arrays."""
    ADD.write(t.array, (t.array, g.array), None)
    return 0


cdef int accumulate(TensorBase t, object g) except -1:
    """Add `g` to t.grad without ever sharing memory with anything the user holds."""
    cdef TensorBase old = <TensorBase>t._grad, new = <TensorBase>g
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


def backward(list roots, list seeds, bint retain_graph, bint create_graph, targets=None):
    """Run the graph backwards from `roots` with gradients `seeds`.

    Without targets, leaves accumulate into `.grad` and None is returned; with a list of target
    tensors their gradients are returned (None where no path leads), nothing is accumulated, and
    only nodes on a path to a target run.
    """
    global fdl_recording
    cdef Walk walk = Walk.__new__(Walk)
    cdef TensorBase t
    cdef Py_ssize_t i
    cdef int before = fdl_recording
    walk.heap = Heap.__new__(Heap)
    walk.pending = {}
    walk.retain = retain_graph
    walk.create = create_graph
    if targets is not None:
        walk.targets = {}
        walk.found = [None] * len(targets)
        for i, t in enumerate(targets):
            walk.targets.setdefault((t.node, t.index), []).append(i)
        walk.needed = paths_to(roots, {key[0] for key in walk.targets})
    fdl_recording = create_graph
    try:
        for i in range(len(roots)):
            t = <TensorBase>roots[i]
            walk.add(t.node, t.index, seeds[i])
        walk.run()
    finally:
        fdl_recording = before
    return walk.found


cdef set paths_to(list roots, set targets):
    """Nodes on a path to a target; targets themselves only if they lead to another."""
    cdef set seen = set(), needed = set()
    cdef list stack = [(<TensorBase>t).node for t in roots]
    cdef list order
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
    order = sorted(seen, key=created_of)
    for node in order:
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
