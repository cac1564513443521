# Nodes, and the handles of hooks: included by _engine.pyx.

cdef PyObject **graves = NULL           # what dying nodes held, freed by the outermost of them
cdef Py_ssize_t buried = 0, grave_room = 0
cdef bint burying = False


cdef bint bury(PyObject *held):
    """Keep a reference for the loop that frees; False when there is no memory for that."""
    global graves, buried, grave_room
    cdef PyObject **grown
    if buried == grave_room:
        grown = <PyObject **>PyMem_Realloc(graves, (2 * grave_room + 64) * sizeof(PyObject *))
        if grown == NULL:
            return False
        graves = grown
        grave_room = 2 * grave_room + 64
    Py_INCREF(<object>held)
    graves[buried] = held
    buried += 1
    return True


@cython.final
@cython.freelist(256)
cdef class Node:
    """One recorded call of a primitive, or a leaf (`op` is None)."""
    cdef readonly Primitive op          # None for a leaf
    cdef PyObject *leaf                 # borrowed: the tensor with .grad, NULL once it is gone
    cdef tuple parents                  # Node or None for each argument
    cdef tuple indices                  # which output of each parent; None when all are 0
    cdef tuple saved                    # values in the order of plan.slots; None once released
    cdef tuple versions                 # their in-place counts when saved; None when all were 0
    cdef tuple fits                     # (shape, dtype) of broadcast or promoted arguments
    cdef dict static                    # keyword arguments of the call
    cdef Plan plan
    cdef int64_t created
    cdef int outputs
    cdef dict hooks                     # output -> {key: function}
    cdef dict retained                  # output -> weak reference to the retaining tensor
    cdef dict extras                    # what few nodes have: hooks by kind, metadata, a traceback
    cdef bint packed                    # are saved values as pack hooks made them?
    cdef object __weakref__

    def __dealloc__(self):
        # Dropping the parents here would recurse down the graph: leave them to the loop of the
        # outermost node.
        global burying, buried
        if self.parents is None or not bury(<PyObject *>self.parents):
            return
        if self.saved is not None:
            bury(<PyObject *>self.saved)
        self.parents = None
        self.saved = None
        if not burying:
            burying = True
            while buried:
                buried -= 1
                Py_DECREF(<object>graves[buried])
            burying = False

    def name(self):
        """PyTorch's name for it: 'AddBackward0'; 'torch::autograd::AccumulateGrad' for a leaf."""
        if self.op is None:
            return "torch::autograd::AccumulateGrad"
        if self.op.naming is None:
            return self.op.node_name
        name = self.op.naming(self.static or {}, self.known_shapes(),
                              [p is not None for p in self.parents])
        return self.op.node_name if name is None else name

    cdef dict known_shapes(self):
        """{operand: its shape, None for a number} of those operands the node keeps."""
        cdef dict shapes = {}
        if self.saved is None or self.op.variadic or not self.plan.named:
            return shapes
        for slot, value in zip(self.plan.slots, self.saved):
            if slot <= SHAPE:
                shapes[self.op.operands[SHAPE - slot]] = value
            elif 0 <= slot < NTH_OUT and not isinstance(value, Packed):
                shapes[self.op.operands[slot]] = (
                    (<TensorBase>value).array.shape if isinstance(value, TensorBase) else None)
        return shapes

    cdef dict hooks_of(self, str kind):
        """{key: function} of 'before', 'after' or 'accumulated', made when first asked for."""
        if self.extras is None:
            self.extras = {}
        return self.extras.setdefault(kind, {})

    cdef tuple hooks_now(self, str kind):
        """The functions of `hooks_of(kind)`, without making it."""
        return () if self.extras is None else tuple(self.extras.get(kind, {}).values())

    @property
    def metadata(self):
        """A dict for whatever the user keeps with this node."""
        if self.extras is None:
            self.extras = {}
        return self.extras.setdefault("metadata", {})

    def register_prehook(self, hook):
        """Call `hook(grad_outputs)` before this node runs; a returned tuple replaces them."""
        return RemovableHandle(self.hooks_of("before"), hook)

    def register_hook(self, hook):
        """Call `hook(grad_inputs, grad_outputs)` after this node ran; a returned tuple replaces
        grad_inputs, the gradients that go on to `next_functions`.
        """
        return RemovableHandle(self.hooks_of("after"), hook)

    def _sequence_nr(self):
        """Creation number: nodes with larger ones run first."""
        return self.created

    @property
    def next_functions(self):
        """((node or None, output index), ...) for each argument."""
        if self.op is None:
            return ()
        indices = self.indices or (0,) * len(self.parents)
        return tuple(zip(self.parents, indices))

    @property
    def variable(self):
        """The leaf tensor; AttributeError on an operation."""
        if self.op is not None:
            raise AttributeError(f"'{self.name()}' object has no attribute 'variable'")
        return None if self.leaf == NULL else <object>self.leaf

    @property
    def saved_tensors(self):
        """What `ctx.save_for_backward` of an autograd.Function was given."""
        if self.op is None or self.plan.named:
            raise AttributeError(f"'{self.name()}' object has no attribute 'saved_tensors'")
        return with_history(self, unpacked(self))

    def __getattr__(self, name):
        """`_saved_self`, `_saved_other`, `_saved_result`: values saved for the gradient; what an
        autograd.Function put on its ctx."""
        if self.op is not None and name.startswith("_saved_"):
            operands = self.op.operands
            which = {"self": 0, "other": 1, "result": OUT}.get(name[7:])
            if which is None and name[7:] in operands:
                which = operands.index(name[7:])
            if which is not None and which in self.plan.slots:
                return with_history(self, unpacked(self))[self.plan.slots.index(which)]
        elif self.op is not None and not self.plan.named:
            return getattr(self.static["ctx"], name)
        raise AttributeError(f"'{self.name()}' object has no attribute '{name}'")

    def __repr__(self):
        return f"<{self.name().rpartition('::')[2]} object at {id(self):#x}>"


@cython.final
cdef class Packed:
    """A saved tensor as a pack hook made it, and what it takes to make it a tensor again."""
    cdef object value
    cdef object unpack
    cdef Node node                      # of the tensor; None for outputs of the node itself
    cdef int index

    cdef TensorBase tensor(self):
        cdef TensorBase t
        made = self.unpack(self.value)
        if not isinstance(made, TensorBase):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got "
                            f"result of type {type(made)}")
        t = <TensorBase>wrap((<TensorBase>made).array)
        t.node = self.node
        t.index = self.index
        return t


cdef object packed_value(object value, object pack, object unpack):
    """`value` with the tensors in it packed."""
    cdef Packed packed
    cdef TensorBase t
    if isinstance(value, tuple):
        return tuple([packed_value(v, pack, unpack) for v in <tuple>value])
    if not isinstance(value, TensorBase):
        return value
    t = <TensorBase>value
    packed = Packed.__new__(Packed)
    packed.node = t.node
    packed.index = t.index
    packed.unpack = unpack
    seen = t.detach()
    count = count_of(seen)
    packed.value = pack(seen)
    if count_of(seen) != count:
        raise RuntimeError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input "
            "to pack hook can not be modified by in-place operations as this can lead to "
            "unexpected side-effects.")
    return packed


cdef int pack_saved(Node node) except -1:
    """Pack what `node` saved if this thread has hooks for that."""
    global fdl_recording
    cdef list stack = getattr(hooks_on_saved, "stack", None)
    cdef int before = fdl_recording
    if not stack or not node.saved:
        return 0
    pack, unpack = stack[len(stack) - 1]        # the module is compiled without wraparound
    fdl_recording = 0
    try:
        node.saved = tuple([packed_value(v, pack, unpack) for v in node.saved])
    finally:
        fdl_recording = before
    node.versions = None
    node.packed = True
    return 0


cdef object unpacked_value(object value):
    if isinstance(value, Packed):
        return (<Packed>value).tensor()
    if isinstance(value, tuple):
        return tuple([unpacked_value(v) for v in <tuple>value])
    return value


cdef tuple unpacked(Node node):
    """What `node` saved, through the unpack hooks; RuntimeError when it was freed."""
    if node.saved is None:
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed). Saved intermediate values of the graph are freed "
            "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
            "to backward through the graph a second time or if you need to access saved tensors "
            "after calling backward.")
    if not node.packed:
        return node.saved
    return tuple([unpacked_value(v) for v in node.saved])


cdef int note_origin(Node node) except -1:
    """Keep the stack of the forward call with `node`, for the errors of its backward."""
    if node.extras is None:
        node.extras = {}
    node.extras["origin"] = "".join(traceback.format_stack())
    return 0


cdef object tell_origin(Node node):
    """Warn where the forward call of `node` was, whose backward has just failed."""
    text = f"Error detected in {node.name()}. "
    if node.extras is not None and "origin" in node.extras:
        text += "Traceback of forward call that caused the error:\n" + node.extras["origin"]
    else:
        text += ("No forward pass information available. Enable detect anomaly during forward pass "
                 "for more information.")
    warnings.warn(text, UserWarning, stacklevel=1)


cdef Node leaf_node(TensorBase t):
    global clock
    cdef Node node = Node.__new__(Node)
    node.leaf = <PyObject *>t
    node.outputs = 1
    clock += 1
    node.created = clock
    return node


cdef object hook_keys = itertools.count()           # never the same twice: a hook is removed once


class RemovableHandle:
    """What `register_*hook` returns: `remove()` takes the hook away; also a context manager."""

    __slots__ = ("_key", "_hooks")

    def __init__(self, hooks, hook):
        self._key = next(hook_keys)
        self._hooks = hooks
        hooks[self._key] = hook

    def remove(self):
        """Take the hook away; harmless when it is gone already."""
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()
