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
    cdef Primitive op
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
        """PyTorch's name for it: 'AddBackward0'; 'AccumulateGrad' for a leaf."""
        return "AccumulateGrad" if self.op is None else self.op.node_name

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

    def __repr__(self):
        return f"<{self.name()} object at {id(self):#x}>"


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
