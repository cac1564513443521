# cython: language_level=3, boundscheck=False, wraparound=False, binding=True
# cython: c_api_binop_methods=True, auto_pickle=False, autotestdict=False
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

Read on in this order: _engine_graph.pxi (Node), _engine_tensor.pxi (TensorBase),
_engine_primitive.pxi (Primitive: calling and recording), _engine_walk.pxi (backward),
_engine_views.pxi (views and in-place operations), _engine_shortcuts.pxi (shape functions without
Python), _engine_optim.pxi (lists for optimizers).
"""
cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint64_t

import inspect
import itertools
import threading
import traceback
import warnings
import weakref
from time import perf_counter_ns
from types import MethodType

cdef extern from "_engine.h":
    int fdl_recording
    int fdl_autocast
    int fdl_inference
    PyObject *fdl_walk
    int fdl_import_numpy() except -1
    object FDL_NEW(type, tuple)
    object fdl_as_array(object)
    int fdl_alike(object, object)
    int fdl_is_inexact(object)
    int fdl_is_complex(object)
    int fdl_half(tuple)
    int fdl_uniform(tuple, bint)
    int fdl_box(tuple, int) except -1
    int fdl_box_beside(tuple, int) except -1
    int fdl_kernel_ready(tuple, int)
    int fdl_exclusive(PyObject *)
    int fdl_in_order(object)
    int fdl_shares(object, object)
    int fdl_is_writable(object)
    int fdl_is_operand(object)
    int fdl_wrap_slots(type) except -1
    void fdl_is_method(type)
    int FDL_DIMS
    ctypedef struct fdl_layout:
        int ndim
        Py_ssize_t shape[64]
        Py_ssize_t strides[64]
        Py_ssize_t offset
        bint overlaps
    int fdl_is_plain(object)
    int fdl_type(object)
    object fdl_size_tuple(object, object)
    int fdl_is_real(object)
    int fdl_same_type(object, object)
    int fdl_ndim(object)
    Py_ssize_t fdl_size(object)
    Py_ssize_t fdl_item(object)
    Py_ssize_t fdl_length(object, int)
    Py_ssize_t fdl_stride(object, int)
    object fdl_window(object, fdl_layout *)
    int FDL_FLOATS, FDL_MOVES
    object fdl_array_of(object, int, int)
    object fdl_filled(const fdl_layout *, object, int, Py_ssize_t, Py_ssize_t)
    object fdl_spaced(object, object, Py_ssize_t, int)
    object fdl_steps(object, object, object, int, int, Py_ssize_t)
    int fdl_equal(object, object)
    object fdl_box_of(object, int)
    int fdl_assign(object, object) except -1
    int fdl_within(object, Py_ssize_t, Py_ssize_t)
    int fdl_is_places(object)
    int fdl_is_truth(object)
    object fdl_count(object)
    int fdl_finds(object, int)
    object fdl_finds_along(object, int, bint, bint)
    object fdl_call_in(object, object, tuple, PyObject *)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX
    object PyObject_Call(object, tuple, PyObject *)
    ctypedef PyObject *(*ternaryfunc)(PyObject *, PyObject *, PyObject *)
    ctypedef struct PyTypeObject:
        ternaryfunc tp_call

fdl_import_numpy()

cdef tuple EMPTY = ()
cdef str LEAF_IN_PLACE = (
    "a leaf Variable that requires grad is being used in an in-place operation.")
cdef str REPEATED = (
    "unsupported operation: more than one element of the written-to tensor refers to a single "
    "memory location. Please clone() the tensor before performing the operation.")
cdef str READ_ONLY = "the tensor is on the memory of a NumPy array that is not writeable"
# Slots of a plan: i >= 0 is argument i, OUT the result, SHAPE - i the shape of argument i,
# NTH_OUT + i the i-th of several results.
cdef int OUT = -1
cdef int SHAPE = -2
cdef int NTH_OUT = 1 << 16
cdef int64_t clock = 0                  # creation numbers of nodes

# Set while somebody, in whatever thread, makes use of them
cdef int inferring = 0                  # threads in inference mode
cdef bint inferred = False              # was a thread ever?
cdef int packing = 0                    # saved_tensors_hooks entered
cdef int anomaly = 0                    # 1: nodes note where they were made, 2: NaN raises too
cdef object observer = None             # profiler: called with each op and its times

# Set by `configure`
cdef type TENSOR = None                 # class of the results
cdef object SIZE = tuple                # class of `shape`
cdef object DTYPE_OF = None             # NumPy dtype -> dtype
cdef object LENGTH = None               # (tensor, dim) -> length
cdef list known_dtypes = [None] * 24    # by NumPy's number of the type
cdef object PROMOTE = None              # (primitive, arrays, floating) -> arrays of one dtype
cdef object FIT = None                  # (gradient Tensor, shape, dtype) -> summed and cast to them
cdef object PUT = None                  # (array, result): write one into the other
cdef object STORE = None                # (function, result, out, casts) -> out, holding the result
cdef object EXPLAIN = None              # (primitive, arrays, error) -> PyTorch's exception
cdef object AUTOCAST = None             # set by set_autocast
cdef type BATCHED = None                # set by set_batching: a stand-in for examples of a batch
cdef object BATCH = None                # (primitive, operands with such, static) -> result
cdef object CLONE = None                # differentiable copy
cdef object CONJ = None                 # differentiable complex conjugate
cdef object WIDEN = None                # array -> the same in float32, if it is of half precision
cdef object NARROW = None               # (result in float32, operands) -> in their half precision
cdef Primitive SLICE                    # (tensor, index=basic index) -> view
cdef object SUBSCRIPT = None            # (tensor, any index) -> tensor
cdef object ASSIGN = None               # (tensor, any index, value)
cdef Primitive TAKE, PLACE              # x[index], x[index] = value for an index with arrays
cdef Primitive WINDOW, PUT_WINDOW       # a view as a function of its base, and its opposite
cdef object GEOMETRY = None             # (array of the base, array of the view) -> their arguments
cdef object QUIET_CONTEXT = None        # () -> contextvars.Context without floating-point warnings
cdef PyObject *spare = NULL             # a gradient that its gradient function may overwrite
cdef object spare_context = None        # one not in use: a context cannot be entered twice
cdef Primitive ADD, SUB, MUL, DIV, POW, MATMUL, NEG, ABS, FLOOR_DIV, REMAINDER
cdef Primitive EQ, NE, LT, LE, GT, GE, AND, OR, XOR, INVERT, LSHIFT, RSHIFT


def configure(tensor, properties, promote, fit, explain, clone, conj, halves, subscript, aliasing,
              operators, quiet_context, writing):
    """Hand the engine what it does not know itself; called once, by `fastdl.tensor`.

    tensor: class of results; properties: class of shapes, and the functions that give the dtype of
    a NumPy one, and the length of a tensor along any dim; subscript: the primitive that slices, the
    functions that take any index, to read and to write, and the primitives that do so with an index
    of arrays; aliasing: the primitives window(base, **how) and put_window(base, value, **how), and
    the function that gives `how` for two arrays, None if they do not share memory; operators: dict
    from operator name ('add') to Primitive; quiet_context: makes a contextvars.Context in which
    NumPy does not warn of infinities and NaN; writing: the functions that write a result into an
    array and into the tensor given as `out`.
    """
    global TENSOR, SIZE, DTYPE_OF, LENGTH, PROMOTE, FIT, EXPLAIN, CLONE, QUIET_CONTEXT
    global WINDOW, PUT_WINDOW, GEOMETRY, PUT, STORE, CONJ, WIDEN, NARROW
    global SLICE, SUBSCRIPT, ASSIGN, TAKE, PLACE
    global ADD, SUB, MUL, DIV, POW, MATMUL, NEG, ABS, FLOOR_DIV, REMAINDER
    global EQ, NE, LT, LE, GT, GE, AND, OR, XOR, INVERT, LSHIFT, RSHIFT
    TENSOR = tensor
    SIZE, DTYPE_OF, LENGTH = properties
    PROMOTE = promote
    FIT = fit
    EXPLAIN = explain
    CLONE = clone
    CONJ = conj
    WIDEN, NARROW = halves
    SLICE, SUBSCRIPT, ASSIGN, TAKE, PLACE = subscript
    SLICE.quick = short_slice
    WINDOW, PUT_WINDOW, GEOMETRY = aliasing
    PUT, STORE = writing
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


def is_autocast_enabled():
    """Do primitives with `autocast` cast their operands, in this thread?"""
    return fdl_autocast != 0


def set_autocast(bint on, cast):
    """Let `cast(args, how)` cast the operands of the primitives with how = `autocast` != 0 on this
    thread, or no longer."""
    global fdl_autocast, AUTOCAST
    AUTOCAST = cast
    fdl_autocast = on


def set_recording(bint on):
    """Switch recording on this thread on or off; returns the previous mode.

    In inference mode it stays off.
    """
    global fdl_recording
    old = fdl_recording != 0
    fdl_recording = on and not fdl_inference
    return old


def is_inference_mode_enabled():
    """Is this thread in inference mode?"""
    return fdl_inference != 0


def set_inference(bint on):
    """Switch inference mode on this thread on or off; returns the previous mode."""
    global fdl_inference, inferring, inferred
    old = fdl_inference != 0
    inferring += on - old
    inferred = True
    fdl_inference = on
    return old


def set_observer(function):
    """function(what, start, end, args) is called with every op that runs, `what` its Primitive, and
    every step backward, `what` its Node and args None; times by time.perf_counter_ns. None: no
    longer.
    """
    global observer
    observer = function


def set_batching(batched, batch):
    """Operands of the class `batched`, no TensorBase, send their primitive to batch(primitive,
    operands, static), whose result is that of the call.
    """
    global BATCHED, BATCH
    BATCHED = batched
    BATCH = batch


def set_anomaly(int level):
    """1: nodes note where they were made, for errors in backward to name; 2: NaN is one. Returns
    the previous level.
    """
    global anomaly
    old = anomaly
    anomaly = level
    return old


hooks_on_saved = threading.local()      # .stack: pairs (pack, unpack) of the thread


def push_saved_hooks(pack, unpack):
    """From here on, values saved in this thread go through `pack`, and back through `unpack`."""
    global packing
    if not hasattr(hooks_on_saved, "stack"):
        hooks_on_saved.stack = []
    hooks_on_saved.stack.append((pack, unpack))
    packing += 1


def pop_saved_hooks():
    """Undo the last `push_saved_hooks` of this thread."""
    global packing
    hooks_on_saved.stack.pop()
    packing -= 1


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


include "_engine_graph.pxi"
include "_engine_tensor.pxi"
include "_engine_views.pxi"
include "_engine_primitive.pxi"
include "_engine_shortcuts.pxi"
include "_engine_walk.pxi"
include "_engine_optim.pxi"

TENSOR = TensorBase
fdl_wrap_slots(TensorBase)
fdl_is_method(Primitive)
(<PyTypeObject *>Primitive).tp_call = <ternaryfunc>called
