# cython: language_level=3, boundscheck=False, wraparound=False, binding=True
# cython: c_api_binop_methods=True, auto_pickle=False
"""The autograd engine: TensorBase, Node, Primitive and the backward walk.

It records which primitive made a tensor and replays the primitives' gradient functions backwards.
It knows no NumPy semantics (promotion, broadcasting rules and error wording are given to
`configure`), no devices and no layers.

    Tensor --node--> Node --parents--> Node ...        edges hold nodes, never data
       |               `-- saved: what the gradient functions named, nothing else
       `-- array, version (shared by every tensor that looks at the same storage)

The walk takes nodes by falling creation number from a heap: a node is always younger than its
parents, so this is a topological order, it is deterministic, and no pass over the graph is needed
beforehand. Walking and freeing are loops, not recursion: the depth of a graph is bounded by memory
alone.
"""
cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint64_t

import inspect
import itertools
import warnings
import weakref
from types import MethodType

cdef extern from "_engine.h":
    int fdl_recording
    int fdl_import_numpy() except -1
    object FDL_NEW(type, tuple)
    object fdl_as_array(object)
    int fdl_alike(object, object)
    int fdl_is_float(object)
    int fdl_uniform(tuple, bint)
    int fdl_box(tuple, int) except -1
    int fdl_exclusive(PyObject *)
    int fdl_in_order(object)
    int fdl_shares(object, object)
    int fdl_is_operand(object)
    int fdl_wrap_slots(type) except -1
    void fdl_is_method(type)
    object fdl_call_in(object, object, tuple, PyObject *)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    object PyObject_Call(object, tuple, PyObject *)
    ctypedef PyObject *(*ternaryfunc)(PyObject *, PyObject *, PyObject *)
    ctypedef struct PyTypeObject:
        ternaryfunc tp_call

fdl_import_numpy()

cdef tuple EMPTY = ()
cdef str LEAF_IN_PLACE = (
    "a leaf Variable that requires grad is being used in an in-place operation.")
# Slots of a plan: i >= 0 is argument i, OUT the result, SHAPE - i the shape of argument i.
cdef int OUT = -1
cdef int SHAPE = -2
cdef int64_t clock = 0                  # creation numbers of nodes

# Set by `configure`
cdef type TENSOR = None                 # class of the results
cdef object SIZE = tuple                # class of `shape`
cdef object PROMOTE = None              # (primitive, arrays, floating) -> arrays of one dtype
cdef object FIT = None                  # (gradient Tensor, shape, dtype) -> summed and cast to them
cdef object EXPLAIN = None              # (primitive, arrays, error) -> PyTorch's exception
cdef object CLONE = None                # differentiable copy
cdef Primitive WINDOW, PUT_WINDOW       # a view as a function of its base, and its opposite
cdef object GEOMETRY = None             # (array of the base, array of the view) -> their arguments
cdef object QUIET_CONTEXT = None        # () -> contextvars.Context without floating-point warnings
cdef object spare_context = None        # one not in use: a context cannot be entered twice
cdef Primitive ADD, SUB, MUL, DIV, POW, MATMUL, NEG, ABS, FLOOR_DIV, REMAINDER
cdef Primitive EQ, NE, LT, LE, GT, GE, AND, OR, XOR, INVERT, LSHIFT, RSHIFT


def configure(tensor, size, promote, fit, explain, clone, aliasing, operators, quiet_context):
    """Hand the engine what it does not know itself; called once, by `fastdl.tensor`.

    tensor: class of results, size: class of shapes, aliasing: the primitives window(base, **how)
    and put_window(base, value, **how), and the function that gives `how` for two arrays, None if
    they do not share memory; operators: dict from operator name ('add') to Primitive,
    quiet_context: makes a contextvars.Context in which NumPy does not warn of infinities and NaN.
    """
    global TENSOR, SIZE, PROMOTE, FIT, EXPLAIN, CLONE, QUIET_CONTEXT, WINDOW, PUT_WINDOW, GEOMETRY
    global ADD, SUB, MUL, DIV, POW, MATMUL, NEG, ABS, FLOOR_DIV, REMAINDER
    global EQ, NE, LT, LE, GT, GE, AND, OR, XOR, INVERT, LSHIFT, RSHIFT
    TENSOR = tensor
    SIZE = size
    PROMOTE = promote
    FIT = fit
    EXPLAIN = explain
    CLONE = clone
    WINDOW, PUT_WINDOW, GEOMETRY = aliasing
    QUIET_CONTEXT = quiet_context
    ADD, SUB, MUL, DIV = [operators[k] for k in ("add", "sub", "mul", "div")]
    POW, MATMUL, NEG, ABS = [operators[k] for k in ("pow", "matmul", "neg", "abs")]
    FLOOR_DIV, REMAINDER = operators["floor_divide"], operators["remainder"]
    EQ, NE, LT, LE, GT, GE = [operators[k] for k in ("eq", "ne", "lt", "le", "gt", "ge")]
    AND, OR, XOR = [operators[k] for k in ("bitwise_and", "bitwise_or", "bitwise_xor")]
    INVERT = operators["bitwise_not"]
    LSHIFT, RSHIFT = operators["bitwise_left_shift"], operators["bitwise_right_shift"]


def is_grad_enabled():
    """Does this thread record operations?"""
    return fdl_recording != 0


def set_recording(bint on):
    """Switch recording on this thread on or off; returns the previous mode."""
    global fdl_recording
    old = fdl_recording != 0
    fdl_recording = on
    return old


# ---- storage versions -------------------------------------------------------------------------

@cython.final
@cython.freelist(64)
cdef class Version:
    """Shared by all tensors that look at one storage.

    `version` counts in-place changes: what a gradient saved must still have the count it was saved
    at. `epoch` counts the recorded ones: they give the base of the views a new node, and the nodes
    of the other `aliases` then describe values that are gone. A view of an earlier epoch gets a new
    node, as a window on its base, when it is next used.
    """
    cdef int64_t version
    cdef int64_t epoch
    cdef Py_ssize_t aliases


cdef inline Version version_of(TensorBase t):
    """The Version of `t`, made when first asked for."""
    if t.version is None:
        t.version = Version.__new__(Version)
        t.version.aliases = 1
    return t.version


cdef int64_t count_of(object saved):
    """Number of in-place changes a saved value has seen (summed over the outputs of a tuple)."""
    cdef int64_t total = 0
    if isinstance(saved, TensorBase):
        return (<TensorBase>saved).version.version if (<TensorBase>saved).version is not None else 0
    if isinstance(saved, tuple):
        for item in <tuple>saved:
            if isinstance(item, TensorBase):
                total += count_of(item)
    return total


# ---- graph ------------------------------------------------------------------------------------

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


# ---- tensors ----------------------------------------------------------------------------------

cdef object wrap(object array):
    cdef TensorBase t = <TensorBase>FDL_NEW(TENSOR, EMPTY)
    t.array = array
    return t


def tensor_of(array, bint requires_grad=False):
    """A Tensor around `array` (NumPy scalars become 0-d arrays), sharing its memory."""
    cdef TensorBase t = <TensorBase>wrap(fdl_as_array(array))
    if requires_grad:
        t.requires_grad_(True)
    return t


cdef class TensorBase:
    """An array with a gradient: the part of `fastdl.Tensor` the engine needs.

    `array` is the NumPy (or CuPy) array itself; `node` says what made it.
    """
    cdef public object array
    cdef object _grad
    cdef Node node
    cdef Version version                # None until something shares or saves the storage
    cdef int64_t epoch                  # version.epoch when this alias was made; -1: no alias
    cdef int index                      # which output of `node`
    cdef TensorBase base                # the tensor that this view looks at, itself no such view
    cdef bint is_view
    cdef bint owns_grad                 # the engine made _grad's array: it may add in place
    cdef object __weakref__

    def __dealloc__(self):
        if self.node is not None and self.node.leaf == <PyObject *>self:
            self.node.leaf = NULL
        if self.version is not None and self.epoch >= 0:
            self.version.aliases -= 1

    # -- gradient state

    @property
    def requires_grad(self):
        """Is a gradient wanted for this tensor (a leaf) or computable through it?"""
        renew(self)
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, bint on):
        self.requires_grad_(on)

    def requires_grad_(self, bint requires_grad=True):
        """Ask for `.grad`, or no longer; for leaves of floating point dtype. Returns self."""
        if self.node is not None and self.node.op is not None:
            if requires_grad:
                return self
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach().")
        if not requires_grad:
            if self.node is not None:
                self.node.leaf = NULL
                self.node = None
        elif self.node is None:
            if not is_floating(self.array):
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            self.node = leaf_node(self)
        return self

    @property
    def is_leaf(self):
        """True for tensors that no recorded operation made."""
        renew(self)
        return self.node is None or self.node.op is None

    @property
    def grad_fn(self):
        """The Node of the operation that made this tensor; None for a leaf."""
        renew(self)
        return None if self.node is None or self.node.op is None else self.node

    @property
    def output_nr(self):
        """Which output of `grad_fn` this tensor is."""
        return self.index

    @property
    def _version(self):
        """How often the storage was changed in place."""
        return 0 if self.version is None else self.version.version

    @property
    def grad(self):
        """The gradient `backward` accumulated here; None before."""
        if (self._grad is None and self.node is not None and self.node.op is not None
                and not (self.node.retained and self.index in self.node.retained)):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad "
                "attribute won't be populated during autograd.backward(). If you indeed want the "
                ".grad "
                "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf "
                "Tensor.",
                UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of "
                                f"type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.array.shape != self.array.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: expected "
                    f"{list(self.array.shape)}, got {list(value.array.shape)}")
            if value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: expected "
                    f"{self.array.dtype}, got {value.array.dtype}")
        self._grad = value
        self.owns_grad = False

    @property
    def data(self):
        """A detached tensor on the same memory whose changes autograd does not see."""
        return wrap(self.array)

    @data.setter
    def data(self, value):
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.node is not None and not is_floating((<TensorBase>value).array):
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point dtype")
        self.array = (<TensorBase>value).array

    def detach(self):
        """The same memory without history; in-place changes are still noticed by autograd."""
        cdef TensorBase t = <TensorBase>wrap(self.array)
        t.version = version_of(self)
        t.epoch = -1
        return t

    def detach_(self):
        """Forget the history: the tensor becomes a leaf that needs no gradient. Returns self."""
        if self.is_view and self.node is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead")
        self.requires_grad_(False) if self.is_leaf else self._cut()
        return self

    cdef _cut(self):
        self.node = None
        self.index = 0

    def retain_grad(self):
        """Keep `.grad` on this non-leaf too."""
        cdef Node node = self.node
        if node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if node.op is None:
            return
        if node.retained is None:
            node.retained = {}
        node.retained[self.index] = weakref.ref(self)

    @property
    def retains_grad(self):
        """True for a non-leaf whose `.grad` will be kept."""
        return (self.grad_fn is not None and self.node.retained is not None
                and self.index in self.node.retained)

    def register_hook(self, hook):
        """Call `hook(grad)` with each gradient of this tensor; a result replaces the gradient."""
        if self.node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks.setdefault(self.index, {}), hook)

    def _is_view(self):
        """Is this a view of another tensor (that autograd knows of)?"""
        return self.is_view

    def _become(self, TensorBase other):
        """Take array and history of `other`, a view of this tensor: for unsqueeze_()."""
        if self.node is not None and self.node.op is None and fdl_recording:
            raise RuntimeError(LEAF_IN_PLACE)
        self.array = other.array
        self.node = other.node
        self.index = other.index
        return self

    def _bump(self):
        """Note an in-place change the engine did not see (a kernel that wrote into `array`)."""
        cdef Version version = version_of(self)
        version.version += 1

    # -- shape

    @property
    def shape(self):
        """Lengths of the dimensions, a `Size`."""
        return SIZE(self.array.shape)

    @property
    def ndim(self):
        """Number of dimensions."""
        return self.array.ndim

    # -- operators: here, because a slot of a C class is reached without a look-up. Either operand
    # may be the tensor (c_api_binop_methods): so a Python subclass inherits the slots themselves.

    def __add__(a, b): return binary(ADD, a, b)
    def __sub__(a, b): return binary(SUB, a, b)
    def __mul__(a, b): return binary(MUL, a, b)
    def __truediv__(a, b): return binary(DIV, a, b)
    def __floordiv__(a, b): return binary(FLOOR_DIV, a, b)
    def __mod__(a, b): return binary(REMAINDER, a, b)
    def __matmul__(a, b): return binary(MATMUL, a, b)
    def __and__(a, b): return binary(AND, a, b)
    def __or__(a, b): return binary(OR, a, b)
    def __xor__(a, b): return binary(XOR, a, b)
    def __lshift__(a, b): return binary(LSHIFT, a, b)
    def __rshift__(a, b): return binary(RSHIFT, a, b)
    def __pow__(a, b, modulo): return binary(POW, a, b)
    def __neg__(self): return NEG.call((self,), None)
    def __pos__(self): return self
    def __abs__(self): return ABS.call((self,), None)
    def __invert__(self): return INVERT.call((self,), None)
    def __eq__(self, other): return binary(EQ, self, other)
    def __ne__(self, other): return binary(NE, self, other)
    def __lt__(self, other): return binary(LT, self, other)
    def __le__(self, other): return binary(LE, self, other)
    def __gt__(self, other): return binary(GT, self, other)
    def __ge__(self, other): return binary(GE, self, other)
    def __hash__(self): return <Py_ssize_t>(<PyObject *>self) >> 4

    def __iadd__(self, other): return binary_inplace(ADD, self, other)
    def __isub__(self, other): return binary_inplace(SUB, self, other)
    def __imul__(self, other): return binary_inplace(MUL, self, other)
    def __itruediv__(self, other): return binary_inplace(DIV, self, other)
    def __ifloordiv__(self, other): return binary_inplace(FLOOR_DIV, self, other)
    def __imod__(self, other): return binary_inplace(REMAINDER, self, other)
    def __ipow__(self, other): return binary_inplace(POW, self, other)
    def __iand__(self, other): return binary_inplace(AND, self, other)
    def __ior__(self, other): return binary_inplace(OR, self, other)
    def __ixor__(self, other): return binary_inplace(XOR, self, other)


cdef inline int look_at(TensorBase view, TensorBase other) except -1:
    """Make `view` share the version of `other`, on whose memory it looks."""
    view.version = version_of(other)
    view.version.aliases += 1
    view.epoch = view.version.epoch
    view.is_view = True
    if fdl_recording:
        view.base = other if other.base is None else other.base
    return 0


cdef inline int renew(TensorBase t) except -1:
    """A new node for a view whose base was changed by a recorded operation since."""
    if t.version is not None and t.epoch != t.version.epoch and t.epoch >= 0:
        view_again(t)
    return 0


cdef int view_again(TensorBase t) except -1:
    cdef TensorBase base = t.base
    cdef dict how
    if base is None:
        if t.is_view:
            raise RuntimeError(
                "a view that was created in no_grad mode, whose base or another view of it was "
                "modified in place by a recorded operation since, has no history: take the view "
                "again")
        t.epoch = t.version.epoch           # the change went through a detached alias
        return 0
    t.epoch = t.version.epoch
    how = None if base.node is None else GEOMETRY(base.array, t.array)
    t.node = None
    t.index = 0
    if how is not None:
        t.node = WINDOW.node_for((base,), (base.array,), how, 1, t.array)
        WINDOW.save(t.node, (base,), t)
    return 0


cdef int base_follows(TensorBase view) except -1:
    """Rewrite the history of the base after a recorded change of `view`: the base as it was, with
    the new value put where the view looks."""
    cdef TensorBase base = view.base, value
    cdef Version version = view.version
    cdef dict how = GEOMETRY(base.array, view.array)
    cdef tuple parts
    if how is None:                         # base.data was replaced
        view.base = None
        return 0
    how.pop("shape")
    value = <TensorBase>wrap(view.array)
    value.node = view.node
    parts = (former(base, False), value)
    base.node = PUT_WINDOW.node_for(parts, (base.array, view.array), how,
                                    (base.node is not None) | (view.node is not None) << 1,
                                    base.array)
    PUT_WINDOW.save(base.node, parts, base)
    base.index = 0
    version.epoch += 1
    base.epoch = version.epoch
    return view_again(view)


TENSOR = TensorBase
fdl_wrap_slots(TensorBase)
fdl_is_method(Primitive)


cdef bint is_floating(object array):
    cdef int known = fdl_is_float(array)
    return array.dtype.kind == "f" if known < 0 else known


cdef inline object binary(Primitive op, object a, object b):
    if isinstance(a, TensorBase):
        if not (isinstance(b, TensorBase) or fdl_is_operand(b)):
            return NotImplemented
    elif not fdl_is_operand(a):
        return NotImplemented
    return op.call((a, b), None)


cdef inline object binary_inplace(Primitive op, object a, object b):
    if not (isinstance(b, TensorBase) or fdl_is_operand(b)):
        return NotImplemented
    return op.call_inplace((a, b), None)


# ---- primitives -------------------------------------------------------------------------------

@cython.final
cdef class Plan:
    """What a node saves if the arguments of `mask` need gradients, and how to call those."""
    cdef tuple slots                    # argument number, OUT, or SHAPE - argument number
    cdef tuple reads                    # per argument: positions in `saved`, or static names
    cdef tuple joint                    # the same for the joint function
    cdef bint holds                     # does it save values, not just shapes?


@cython.final
cdef class Primitive:
    """A function on arrays with a gradient function for each argument.

    forward: positional parameters are operands, keyword-only ones are static. kind: 'plain';
    'elementwise' (operands are promoted to one dtype, and the engine undoes broadcasting and
    promotion in the gradients); 'view' (the result looks at the first operand's memory, when NumPy
    says so). floating: integers become the default dtype first. ufunc: a NumPy ufunc that does the
    work, here and in place. promote=False leaves dtypes alone. into(out, *arrays, **static) writes
    the result into an existing array and serves the in-place form; without it the result is copied.
    """
    cdef readonly object forward
    cdef readonly str name
    cdef readonly str node_name
    cdef readonly str kind
    cdef readonly object into
    cdef readonly bint variadic
    cdef readonly dict gradients        # argument name -> function
    cdef readonly object joint
    cdef readonly tuple operands        # argument names
    cdef object functions               # per argument: function or None
    cdef dict defaults                  # of static arguments
    cdef dict plans                     # mask -> Plan
    cdef uint64_t differentiable
    cdef bint elementwise, promotes, floating, view, boxes
    cdef object signature
    cdef dict __dict__                  # __name__, __doc__ ...: it stands for its function

    def __init__(self, forward, str kind="plain", *, ufunc=None, bint floating=False,
                 bint promote=True, into=None, str node_name=None):
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
        self.boxes = ufunc is not None
        if into is None and ufunc is not None:
            into = lambda out, *arrays: ufunc(*arrays, out=out, casting="same_kind")
        self.into = into
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
        self.defaults = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
        self.gradients = {}
        self.functions = (None,) * len(self.operands)
        self.plans = {}

    def vjp(self, **functions):
        """One gradient function per operand: (g, names...) -> Tensor or None.

        The names after g are the save list: operands, `out`, static arguments, `NAME_shape` for
        the shape of operand NAME. Functions are made of Tensor operations, hence differentiable
        again. Returns self.
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
            if name in ("out", "needs") or name in self.operands or name in self.defaults:
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
        plan.holds = any([slot >= OUT for slot in slots])
        plan.reads = tuple([None if names is None else tuple(map(position, names))
                            for names in wanted])
        plan.joint = None if joint is None else tuple([position(n) for n in joint])
        self.plans[mask] = plan
        return plan

    def __call__(self, *args, **static):            # what runs is `called`, see below
        return called(self, args, <PyObject *>static)

    cdef object call_by_name(self, tuple args, dict static):
        """A call with operands given by name: their own, or PyTorch's of the first two."""
        static = static.copy()
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

    cdef tuple unwrap(self, tuple args, uint64_t *mask):
        """Arrays of the operands; bits of those that have a node."""
        cdef Py_ssize_t i, n = PyTuple_GET_SIZE(args)
        cdef tuple arrays = PyTuple_New(n)
        cdef TensorBase t
        cdef int uniform
        mask[0] = 0
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
            Py_INCREF(a)
            PyTuple_SET_ITEM(arrays, i, a)
        if self.promotes:
            uniform = fdl_uniform(arrays, self.floating)
            if uniform == 0:
                arrays = <tuple>PROMOTE(self, arrays, self.floating)
            elif uniform > 1 and self.boxes:
                fdl_box(arrays, uniform)
        return arrays

    cdef object call(self, tuple args, dict static):
        cdef uint64_t mask
        cdef tuple arrays = self.unwrap(args, &mask)
        cdef object y = (self.view_of(arrays, static) if self.view
                         else self.run(self.forward, arrays, arrays, static))
        cdef TensorBase out
        cdef Node node
        cdef tuple results
        cdef Py_ssize_t i
        mask &= self.differentiable
        if type(y) is tuple:
            results = tuple([wrap(fdl_as_array(a)) for a in <tuple>y])
            if self.view and isinstance(args[0], TensorBase):
                for r in results:
                    if fdl_shares((<TensorBase>r).array, (<TensorBase>args[0]).array):
                        look_at(<TensorBase>r, <TensorBase>args[0])
            if mask and fdl_recording:
                node = self.node_for(args, arrays, static, mask, None)
                node.outputs = <int>len(results)
                for i in range(node.outputs):
                    out = <TensorBase>results[i]
                    if is_floating(out.array):
                        out.node = node
                        out.index = <int>i
                self.save(node, args, results)
            return results
        out = <TensorBase>wrap(y)
        if self.view and isinstance(<object>PyTuple_GET_ITEM(args, 0), TensorBase):
            if fdl_shares(y, <object>PyTuple_GET_ITEM(arrays, 0)):
                look_at(out, <TensorBase>PyTuple_GET_ITEM(args, 0))
        if mask and fdl_recording and is_floating(y):
            node = self.node_for(args, arrays, static, mask, y)
            self.save(node, args, out)
            out.node = node
        return out

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
            elif self.variadic:
                value = args if slot >= 0 else tuple([shape_of(a) for a in args])
            else:
                which = slot if slot >= 0 else SHAPE - slot
                value = args[which] if which < PyTuple_GET_SIZE(args) else None
                if slot < 0:
                    value = shape_of(value)
            if count_of(value):
                changed = True
            Py_INCREF(value)
            PyTuple_SET_ITEM(saved, i, value)
        node.saved = saved
        if changed:
            node.versions = tuple([count_of(v) for v in saved])

    cdef object call_inplace(self, tuple args, dict static):
        cdef TensorBase target = <TensorBase>PyTuple_GET_ITEM(args, 0)
        cdef uint64_t mask
        cdef tuple arrays = self.unwrap(args, &mask)
        cdef Node node
        cdef Version version = version_of(target)
        cdef Py_ssize_t n = PyTuple_GET_SIZE(args)
        cdef bint recorded = fdl_recording and mask != 0
        cdef tuple before = args
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
            target.node = node if mask else None
            target.index = 0
            if target.base is not None:
                base_follows(target)
            elif version.aliases > 1:
                version.epoch += 1
                target.epoch = version.epoch
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
        if not is_floating(target.array):
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
        elif GEOMETRY(target.base.array, target.array) is not None:
            if any([n > 1 and step == 0 for n, step in zip(target.array.shape,
                                                            target.array.strides)]):
                raise RuntimeError(
                    "unsupported operation: more than one element of the written-to tensor refers "
                    "to a single memory location. Please clone() the tensor before performing the "
                    "operation.")

    cdef object write(self, object array, tuple arrays, dict static):
        if self.into is not None:
            self.run(self.into, (array,) + arrays[1:], (array,) + arrays, static)
            return
        y = self.run(self.forward, arrays, arrays, static)
        if y.shape != array.shape:
            raise RuntimeError(f"output with shape {list(array.shape)} doesn't match the broadcast "
                               f"shape {list(y.shape)}")
        if y.dtype.kind == "f" and array.dtype.kind != "f":
            raise RuntimeError(
                f"result type {y.dtype} can't be cast to the desired output type {array.dtype}")
        array[...] = y


cdef object called(Primitive op, tuple args, PyObject *keywords):
    """op(*args, **keywords). Cython's own entry would copy the keywords, which nobody changes."""
    cdef dict static
    if keywords == NULL or not <dict>keywords:
        return op.call(args, None)
    static = <dict>keywords
    for name in static:
        if name not in op.defaults:
            return op.call_by_name(args, static)
    return op.call(args, static)


(<PyTypeObject *>Primitive).tp_call = <ternaryfunc>called


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


def attach(Primitive op, tuple inputs, tuple outputs, tuple saved, dict static):
    """Record a call that the engine did not run: `autograd.Function`.

    The node is `op`'s, whose joint gradient is called as joint(g or tuple of g, saved, **static).
    Of `inputs`, Tensors with a history become parents. `saved` may hold inputs and outputs.
    """
    global clock
    cdef Node node
    cdef TensorBase t
    cdef Py_ssize_t i
    node = Node.__new__(Node)
    node.op = op
    known = [isinstance(a, TensorBase) for a in inputs]
    node.parents = tuple([(<TensorBase>a).node if k else None for a, k in zip(inputs, known)])
    node.indices = tuple([(<TensorBase>a).index if k else 0 for a, k in zip(inputs, known)])
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
    for i in range(node.outputs):
        if outputs[i] is not None:
            t = <TensorBase>outputs[i]
            t.node = node
            t.index = <int>i


# ---- the backward walk ------------------------------------------------------------------------

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
    ADD.run(ADD.into, (t.array, g.array), (t.array, t.array, g.array), None)
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


def gather(dict group, state, tuple names, fresh):
    """What an optimizer works on: those parameters of a group that have a gradient.

    state: parameter -> dict; an entry that lacks one of `names` is completed by fresh(parameter,
    group, entry, names). Returns (parameters, their arrays, gradients, for each name the list of
    its arrays, steps). Where an entry has a "step", that is counted up and listed in `steps`; else
    1 stands for an entry that was incomplete, 2 for others.
    """
    cdef list found = [], arrays = [], grads = [], steps = []
    cdef list states = [[] for _ in names]
    cdef TensorBase t
    cdef dict entry
    cdef bint new
    cdef Py_ssize_t k
    for parameter in group["params"]:
        t = <TensorBase?>parameter
        if t._grad is None:
            continue
        new = False
        if names:
            entry = state[parameter]
            for k in range(len(names)):
                value = entry.get(names[k])
                if value is None:
                    fresh(parameter, group, entry, names)
                    value = entry[names[k]]
                    new = True
                (<list>states[k]).append((<TensorBase?>value).array)
            step = entry.get("step")
            if step is None:
                step = 1 if new else 2
            else:
                entry["step"] = step = step + 1
            steps.append(step)
        found.append(parameter)
        arrays.append(t.array)
        grads.append((<TensorBase>t._grad).array)
    return found, arrays, grads, states, steps


def changed(list tensors):
    """Note that kernels wrote into the arrays of `tensors`."""
    cdef Version version
    for t in tensors:
        version = version_of(<TensorBase?>t)
        version.version += 1


def drop_gradients(list tensors):
    """Set `.grad` of all `tensors` to None."""
    cdef TensorBase t
    for item in tensors:
        t = <TensorBase?>item
        t._grad = None
        t.owns_grad = False


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
