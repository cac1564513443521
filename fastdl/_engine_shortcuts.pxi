# Functions of shape, and reductions, in their usual calls without Python: included by _engine.pyx.
#
# A view is a few integers: lengths, strides, an offset. Where the arguments are plain ints, slices
# and tuples of them, a Shortcut works those out here and makes the tensor; of a reduction it reads
# the dimensions. Every other call, wrong ones among them, goes to the function it stands for, which
# gives the same results.

cdef extern from "Python.h":
    bint PyLong_CheckExact(PyObject *)
    bint PyFloat_CheckExact(PyObject *)
    bint PySlice_Check(PyObject *)
    Py_ssize_t PyLong_AsSsize_t(PyObject *) except? -1
    int PySlice_Unpack(PyObject *, Py_ssize_t *, Py_ssize_t *, Py_ssize_t *) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t, Py_ssize_t *, Py_ssize_t *, Py_ssize_t)
    ctypedef struct PyTupleObject:
        PyObject **ob_item
    ctypedef struct PyListObject:
        PyObject **ob_item
    ctypedef struct PySliceObject:
        PyObject *start
        PyObject *stop
        PyObject *step
    PyObject *Py_None
    PyObject *Py_Ellipsis

cdef extern from "_engine.h":
    int NPY_BOOL
    int NPY_INT64

cdef int MOST = 4                       # arguments after the tensor that may have a name


@cython.final
cdef class Shortcut:
    """A function of a tensor that is mostly called with few plain arguments: shortcut(primitive).

    It has the name, the signature and the documentation of the function.
    """
    cdef readonly object __wrapped__
    cdef Primitive op
    cdef Way way
    cdef tuple names                    # of the arguments after the tensor; None: any number
    cdef bint joins                     # the first argument is a list of tensors
    cdef dict __dict__

    def __init__(self, function, Primitive op):
        self.__wrapped__ = function
        self.op = op
        self.way = way_of(function.__name__)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self.names = None
        if not any([p.kind == p.VAR_POSITIONAL for p in parameters]):
            self.names = tuple([p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD])
        self.joins = function.__name__ in ("cat", "stack", "hstack", "vstack")
        if function.__name__ in ("reshape", "expand", "permute"):
            op.quick = self.way                 # their operations take what they take
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(self, attribute, getattr(function, attribute))

    def __call__(self, *args, **keywords):          # what runs is `short_call`, see below
        return short_call(self, args, <PyObject *>keywords)

    def __get__(self, instance, owner):
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return repr(self.__wrapped__)


def shortcut(Primitive op=None):
    """Decorator: the function named so is answered here in its usual calls, which run `op`."""
    return lambda function: Shortcut(function, op)


cdef object short_call(Shortcut self, tuple args, PyObject *keywords):
    """self(*args, **keywords)."""
    cdef Py_ssize_t n = PyTuple_GET_SIZE(args), i
    cdef PyObject *found[8]
    cdef bint named = keywords != NULL and <dict>keywords
    y = None
    if n > 0 and observer is None and (self.joins or is_plain(<object>PyTuple_GET_ITEM(args, 0))):
        if self.names is None:
            if not named:
                y = self.way(self.op, <object>PyTuple_GET_ITEM(args, 0),
                             &(<PyTupleObject *>args).ob_item[1], n - 1)
        elif n - 1 <= PyTuple_GET_SIZE(self.names) <= MOST:
            for i in range(PyTuple_GET_SIZE(self.names)):
                found[i] = PyTuple_GET_ITEM(args, i + 1) if i < n - 1 else NULL
            if not named or by_name(self.names, <dict>keywords, found, n - 1):
                y = self.way(self.op, <object>PyTuple_GET_ITEM(args, 0), found,
                             PyTuple_GET_SIZE(self.names))
    return explained_call(self.__wrapped__, args, keywords) if y is None else y


cdef inline bint is_plain(object a):
    """Is it a tensor around a NumPy array?"""
    return isinstance(a, TensorBase) and fdl_is_plain((<TensorBase>a).array)


cdef bint by_name(tuple names, dict keywords, PyObject **found, Py_ssize_t given):
    """Puts `keywords` to their places in `found`, `given` of which are taken; False if one has no
    place there."""
    cdef Py_ssize_t i, n = PyTuple_GET_SIZE(names)
    for name, value in keywords.items():
        for i in range(given, n):
            if name == <object>PyTuple_GET_ITEM(names, i):
                found[i] = <PyObject *>value
                break
        else:
            return False
    return True


# ---- arguments ----------------------------------------------------------------------------------

cdef inline bint as_int(PyObject *a, Py_ssize_t *value) except -1:
    """Is `a` an int of its own class?"""
    if a == NULL or not PyLong_CheckExact(a):
        return False
    value[0] = PyLong_AsSsize_t(a)
    return True


cdef inline bint as_dim(PyObject *a, int ndim, int *dim) except -1:
    """Is `a` a dimension of `ndim`, counted from either end?"""
    cdef Py_ssize_t d
    if not as_int(a, &d) or not -ndim <= d < ndim:
        return False
    dim[0] = <int>(d + ndim if d < 0 else d)
    return True


cdef int as_ints(PyObject **args, Py_ssize_t n, Py_ssize_t *values) except -2:
    """Ints given one by one or as a tuple or list; how many, -1 if they are no such."""
    cdef Py_ssize_t i
    if n == 1 and isinstance(<object>args[0], (tuple, list)):
        if isinstance(<object>args[0], tuple):
            n, args = PyTuple_GET_SIZE(<tuple>args[0]), (<PyTupleObject *>args[0]).ob_item
        else:
            n, args = len(<list>args[0]), (<PyListObject *>args[0]).ob_item
    if n > FDL_DIMS:
        return -1
    for i in range(n):
        if not as_int(args[i], &values[i]):
            return -1
    return <int>n


def plain_sizes(tuple given):
    """The lengths (2, 3) of the arguments 2, 3 or (2, 3) or [2, 3], if they are plain ints that an
    array may have; else None."""
    cdef fdl_layout at
    cdef int i
    at.ndim = as_ints((<PyTupleObject *>given).ob_item, PyTuple_GET_SIZE(given), at.shape)
    for i in range(at.ndim):
        if not 0 <= at.shape[i] < <Py_ssize_t>1 << 31:
            return None
    return shape_tuple(&at) if at.ndim >= 0 else None


def plain_array(data, dtype, floating):
    """The array of a number or of nested lists of numbers, if they are plain ones: of the NumPy
    dtype `dtype`; if that is None of int64 or bool, or `floating` with floats. Else None."""
    return fdl_array_of(data, -1 if dtype is None else dtype.num, floating.num)


cdef Py_ssize_t plain_layout(PyObject **given, Py_ssize_t n, fdl_layout *at) except -2:
    """How many elements an array of the plain lengths `given` has; -1 if they are none, or if it
    has more than few."""
    cdef Py_ssize_t size = 1
    cdef int i
    at.ndim = as_ints(given, n, at.shape)
    for i in range(at.ndim):
        if not 0 <= at.shape[i] <= FEW:
            return -1
        size *= at.shape[i]
        if size > FEW:
            return -1
    return size if at.ndim >= 0 else -1


def plain_filled(tuple given, value, dtype, floating):
    """A small array full of a number, of whatever the memory held for None: lengths as in
    `plain_sizes`, number and dtypes as in `plain_array`. None if that is nothing plain."""
    cdef fdl_layout at
    cdef int type = -1 if dtype is None else dtype.num
    cdef Py_ssize_t size = plain_layout(
        (<PyTupleObject *>given).ob_item, PyTuple_GET_SIZE(given), &at)
    if size < 0:
        return None
    if type < 0:
        type = (floating.num if PyFloat_CheckExact(<PyObject *>value) else
                NPY_BOOL if isinstance(value, bool) else NPY_INT64)
    return fdl_filled(&at, value, type, 1, size)


def plain_like(x, value, dtype):
    """`plain_filled` with the shape of the Tensor x, and its dtype for None; None, too, where x is
    not laid out in C order."""
    cdef fdl_layout at
    if not is_plain(x) or not fdl_in_order((<TensorBase>x).array) or (
            fdl_size((<TensorBase>x).array) > FEW):
        return None
    same((<TensorBase>x).array, &at)
    return fdl_filled(&at, value, fdl_type((<TensorBase>x).array) if dtype is None else dtype.num,
                      1, fdl_size((<TensorBase>x).array))


def plain_steps(start, end, step, dtype, floating):
    """start, start + step, ... before `end`, few, of the NumPy dtype `dtype`; for None int64, or
    `floating` if one of them is a float. None if that is nothing plain."""
    return fdl_steps(start, end, step, -1 if dtype is None else dtype.num, floating.num, FEW)


def plain_eye(n, m, dtype):
    """A small (n, m) matrix with ones on its diagonal; None if that is nothing plain."""
    cdef fdl_layout at
    cdef PyObject *lengths[2]
    lengths[0], lengths[1] = <PyObject *>n, <PyObject *>m
    if plain_layout(lengths, 2, &at) < 0:
        return None
    return fdl_filled(&at, True, dtype.num, at.shape[1] + 1, at.shape[1] * at.shape[1])


def plain_spaced(start, end, steps, dtype):
    """`steps` numbers evenly from `start` to `end`, up to a million; None if that is nothing
    plain."""
    cdef Py_ssize_t count
    if not as_int(<PyObject *>steps, &count) or not 2 <= count <= 1 << 20:
        return None
    return fdl_spaced(start, end, count, dtype.num)


cdef tuple shape_tuple(const fdl_layout *at):
    return tuple([at.shape[i] for i in range(at.ndim)])


# ---- tensors ----------------------------------------------------------------------------------

cdef inline bint records(TensorBase x) except -1:
    """Does a view of x need a node?"""
    if not fdl_recording:
        return False
    renew(x)
    return x.node is not None


cdef inline object looking(TensorBase x, fdl_layout *at):
    """The view of x that lies as `at` says."""
    cdef TensorBase y = <TensorBase>wrap(fdl_window(x.array, at))
    look_at(y, x)
    return y


cdef object record_view(Primitive op, TensorBase x, TensorBase y, dict static):
    """Makes `y` what `op` with `static` gave of x, which has a node."""
    cdef Node node = op.node_for((x,), (x.array,), static, 1, y.array)
    op.save(node, (x,), y)
    y.node = node
    return y


cdef inline object reshaped(Primitive op, TensorBase x, fdl_layout *at):
    """The view of `op`, reshape or expand, which is told the shape."""
    cdef object y = looking(x, at)
    return record_view(op, x, <TensorBase>y, {"shape": shape_tuple(at)}) if records(x) else y


cdef inline void rows(object a, fdl_layout *at):
    """Strides for the shape in row-major order."""
    cdef Py_ssize_t step = fdl_item(a)
    cdef int i
    for i in range(at.ndim - 1, -1, -1):
        at.strides[i] = step
        step *= at.shape[i]


cdef inline void same(object a, fdl_layout *at):
    """The layout of all of `a`."""
    cdef int i
    at.ndim, at.offset, at.overlaps = fdl_ndim(a), 0, False
    for i in range(at.ndim):
        at.shape[i] = fdl_length(a, i)
        at.strides[i] = fdl_stride(a, i)


# ---- functions --------------------------------------------------------------------------------

cdef object short_reshape(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef Py_ssize_t size = fdl_size(x.array), known = 1
    cdef int i, open = -1
    at.offset, at.overlaps = 0, False
    at.ndim = as_ints(args, n, at.shape)
    if at.ndim < 0 or size == 0 or not fdl_in_order(x.array):
        return None
    for i in range(at.ndim):
        if at.shape[i] == -1 and open < 0:
            open = i
        elif not 0 < at.shape[i] <= size // known:
            return None
        else:
            known *= at.shape[i]
    if open >= 0:
        at.shape[open] = size // known
        known *= at.shape[open]
    if known != size:
        return None
    rows(x.array, &at)
    return reshaped(op, x, &at)


cdef object short_flatten(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int first = 0, last = fdl_ndim(x.array) - 1, i
    if not fdl_in_order(x.array) or fdl_size(x.array) == 0:
        return None
    if (args[0] != NULL and not as_dim(args[0], last + 1, &first)) or (
            args[1] != NULL and not as_dim(args[1], last + 1, &last)) or first >= last:
        return None
    same(x.array, &at)
    for i in range(first + 1, last + 1):
        at.shape[first] *= at.shape[i]
    for i in range(last + 1, at.ndim):
        at.shape[i - last + first] = at.shape[i]
    at.ndim -= last - first
    rows(x.array, &at)
    return reshaped(op, x, &at)


cdef object short_squeeze(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int dim = -1, i, kept = 0
    if args[0] != NULL and not as_dim(args[0], fdl_ndim(x.array), &dim):
        return None
    same(x.array, &at)
    for i in range(at.ndim):
        if at.shape[i] != 1 or (dim >= 0 and i != dim):
            at.shape[kept], at.strides[kept] = at.shape[i], at.strides[i]
            kept += 1
    at.ndim = kept
    return reshaped(op, x, &at)


cdef object short_unsqueeze(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int dim, i
    same(x.array, &at)
    if at.ndim == FDL_DIMS or not as_dim(args[0], at.ndim + 1, &dim):
        return None
    for i in range(at.ndim, dim, -1):
        at.shape[i], at.strides[i] = at.shape[i - 1], at.strides[i - 1]
    at.strides[dim] = fdl_item(x.array) if dim == at.ndim else at.shape[dim] * at.strides[dim]
    at.shape[dim] = 1
    at.ndim += 1
    return reshaped(op, x, &at)


cdef object short_unfold(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef Py_ssize_t size, step, full
    cdef int dim
    same(x.array, &at)
    if at.ndim == FDL_DIMS or not (as_dim(args[0], at.ndim, &dim) and as_int(args[1], &size)
                                   and as_int(args[2], &step)):
        return None
    full = at.shape[dim]
    if not 0 < size <= full or step < 1:
        return None
    at.shape[at.ndim], at.strides[at.ndim] = size, at.strides[dim]
    at.shape[dim] = (full - size) // step + 1
    at.strides[dim] *= step
    at.ndim += 1
    y = looking(x, &at)
    if not records(x):
        return y
    return record_view(op, x, y, {"dim": dim, "size": size, "step": step})


cdef object short_expand(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int extra, i
    cdef Py_ssize_t own
    at.offset, at.overlaps = 0, False
    at.ndim = as_ints(args, n, at.shape)
    extra = at.ndim - fdl_ndim(x.array)
    if at.ndim < 0 or extra < 0:
        return None
    for i in range(at.ndim):
        own = 1 if i < extra else fdl_length(x.array, i - extra)
        at.strides[i] = 0 if i < extra else fdl_stride(x.array, i - extra)
        if at.shape[i] == -1 and i >= extra:
            at.shape[i] = own
        elif at.shape[i] < 0 or (at.shape[i] != own and own != 1):
            return None
        elif at.shape[i] != own:
            at.strides[i] = 0
            at.overlaps = True
    return reshaped(op, x, &at)


cdef object exchanged(Primitive op, TensorBase x, int dim0, int dim1):
    cdef fdl_layout at
    same(x.array, &at)
    at.shape[dim0], at.shape[dim1] = at.shape[dim1], at.shape[dim0]
    at.strides[dim0], at.strides[dim1] = at.strides[dim1], at.strides[dim0]
    y = looking(x, &at)
    return record_view(op, x, y, {"dim0": dim0, "dim1": dim1}) if records(x) else y


cdef object short_transpose(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int dim0, dim1, ndim = fdl_ndim(x.array)
    if not as_dim(args[0], ndim, &dim0) or not as_dim(args[1], ndim, &dim1):
        return None
    return exchanged(op, x, dim0, dim1)


cdef object short_t(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    return exchanged(op, x, 0, 1) if fdl_ndim(x.array) == 2 else None


cdef object short_permute(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef Py_ssize_t dims[64]
    cdef uint64_t seen = 0
    cdef int i
    at.offset, at.overlaps = 0, False
    at.ndim = as_ints(args, n, dims)
    if at.ndim != fdl_ndim(x.array):
        return None
    for i in range(at.ndim):
        if not -at.ndim <= dims[i] < at.ndim:
            return None
        dims[i] += at.ndim if dims[i] < 0 else 0
        if seen >> dims[i] & 1:
            return None
        seen |= <uint64_t>1 << dims[i]
        at.shape[i], at.strides[i] = (
            fdl_length(x.array, <int>dims[i]), fdl_stride(x.array, <int>dims[i]))
    y = looking(x, &at)
    if not records(x):
        return y
    return record_view(op, x, y, {"dims": tuple([dims[i] for i in range(at.ndim)])})


cdef object short_reverse(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int i
    at.ndim, at.offset, at.overlaps = fdl_ndim(x.array), 0, False
    for i in range(at.ndim):
        at.shape[i] = fdl_length(x.array, at.ndim - 1 - i)
        at.strides[i] = fdl_stride(x.array, at.ndim - 1 - i)
    y = looking(x, &at)
    if not records(x):
        return y
    return record_view(op, x, y, {"dims": tuple(range(at.ndim - 1, -1, -1))})


cdef object short_diagonal(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Of a matrix."""
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef Py_ssize_t offset = 0, rows, columns
    cdef int i
    for i in range(1, n):
        if args[i] != NULL:
            return None
    if fdl_ndim(x.array) != 2 or (args[0] != NULL and not as_int(args[0], &offset)):
        return None
    same(x.array, &at)
    rows, columns = at.shape[0], at.shape[1]
    if not -rows < offset < columns:
        return None
    at.offset = offset * at.strides[1] if offset > 0 else -offset * at.strides[0]
    at.shape[0] = min(rows, columns - offset) if offset > 0 else min(rows + offset, columns)
    at.strides[0] += at.strides[1]
    at.ndim = 1
    y = looking(x, &at)
    return record_view(op, x, y, {"offset": offset, "dim1": 0, "dim2": 1}) if records(x) else y


# ---- parts ------------------------------------------------------------------------------------

cdef inline bint plain_slice(PyObject *a) except -1:
    """Is it a slice of plain ints with a step > 0?"""
    cdef PySliceObject *s
    if not PySlice_Check(a):
        return False
    s = <PySliceObject *>a
    return ((s.start == Py_None or PyLong_CheckExact(s.start))
            and (s.stop == Py_None or PyLong_CheckExact(s.stop))
            and (s.step == Py_None
                 or (PyLong_CheckExact(s.step) and PyLong_AsSsize_t(s.step) > 0)))


cdef bint part_of(TensorBase x, object index, fdl_layout *at, bint *is_whole) except -1:
    """Where x[index] lies; False if `index` is no int, slice, None, Ellipsis or tuple of such. Does
    it name all dimensions, or hold an Ellipsis?"""
    cdef PyObject *alone = <PyObject *>index
    cdef PyObject **parts = &alone
    cdef PyObject *part
    cdef Py_ssize_t count = 1, k, i, length, start, stop, step
    cdef int ndim = fdl_ndim(x.array), d = 0, named = 0
    cdef bint is_open = True
    if isinstance(index, tuple):
        count = PyTuple_GET_SIZE(<tuple>index)
        parts = (<PyTupleObject *>index).ob_item
    for k in range(count):
        named += parts[k] != Py_None and parts[k] != Py_Ellipsis
    if named > ndim or count - named + ndim > FDL_DIMS:
        return False
    at.ndim, at.offset, at.overlaps = 0, 0, False
    for k in range(count):
        part = parts[k]
        if part == Py_None:
            at.shape[at.ndim] = 1
            at.strides[at.ndim] = (
                fdl_item(x.array) if d == ndim else fdl_length(x.array, d) * fdl_stride(x.array, d))
            at.ndim += 1
        elif part == Py_Ellipsis:
            if not is_open:
                return False
            is_open = False
            for i in range(ndim - named):
                at.shape[at.ndim], at.strides[at.ndim] = (
                    fdl_length(x.array, d), fdl_stride(x.array, d))
                at.ndim += 1
                d += 1
        elif PyLong_CheckExact(part):
            length, i = fdl_length(x.array, d), PyLong_AsSsize_t(part)
            if not -length <= i < length:
                return False
            at.offset += (i + length if i < 0 else i) * fdl_stride(x.array, d)
            d += 1
        elif plain_slice(part):
            PySlice_Unpack(part, &start, &stop, &step)
            length = PySlice_AdjustIndices(fdl_length(x.array, d), &start, &stop, step)
            at.offset += start * fdl_stride(x.array, d)
            at.shape[at.ndim] = length
            at.strides[at.ndim] = fdl_stride(x.array, d) * step
            at.ndim += 1
            d += 1
        else:
            return False
    while d < ndim:
        at.shape[at.ndim], at.strides[at.ndim] = fdl_length(x.array, d), fdl_stride(x.array, d)
        at.ndim += 1
        d += 1
    is_whole[0] = not is_open
    return True


cdef object subscript(Primitive op, TensorBase x, object index):
    """x[index] if `index` is an int, a slice, None, Ellipsis or a tuple of such; else None."""
    cdef fdl_layout at
    cdef bint is_whole
    if not part_of(x, index, &at, &is_whole):
        return None
    y = looking(x, &at)
    if not records(x):
        return y
    index = tuple(index) if isinstance(index, tuple) else (index,)
    return record_view(op, x, y, {"index": index if is_whole else (*index, ...)})


cdef object short_slice(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return subscript(op, <TensorBase>of, <object>args[0])


cdef Py_ssize_t FEW = 4096              # elements that are moved sooner than a kernel is reached


cdef bint assigned(TensorBase x, object index, object value) except -1:
    """x[index] = value, if the index is basic, the value a tensor of one dtype with x or a plain
    number, and nothing is recorded. Was it?"""
    cdef fdl_layout at
    cdef TensorBase other
    cdef Version version
    cdef bint is_whole
    if observer is not None or not (fdl_is_plain(x.array) and fdl_is_writable(x.array)) or (
            x.inference and not fdl_inference) or records(x):
        return False
    if isinstance(value, TensorBase):
        other = <TensorBase>value
        if not (fdl_is_plain(other.array) and fdl_same_type(other.array, x.array)) or (
                records(other)):
            return False
        value = other.array
    else:
        value = fdl_box_of(value, fdl_type(x.array))
        if value is None:
            return False
    if not part_of(x, index, &at, &is_whole) or not fdl_assign(fdl_window(x.array, &at), value):
        return False
    version = version_of(x)
    version.version += 1
    return True


cdef tuple places_of(TensorBase x, object index):
    """`index` as arrays, if it is a tensor of places or a mask of the first dimensions, or a tuple
    of tensors of places and full slices; else None."""
    cdef TensorBase mask
    cdef tuple items = index if isinstance(index, tuple) else (index,)
    cdef list found = []
    cdef bint named = False
    cdef PySliceObject *s
    if isinstance(index, TensorBase) and is_plain(index) and (
            fdl_is_truth((<TensorBase>index).array)):
        mask = <TensorBase>index
        if not 0 < fdl_ndim(mask.array) <= fdl_ndim(x.array):
            return None
        for i in range(fdl_ndim(mask.array)):
            if fdl_length(mask.array, i) != fdl_length(x.array, i):
                return None
        return (mask.array,)
    if PyTuple_GET_SIZE(items) > fdl_ndim(x.array):
        return None
    for item in items:
        if isinstance(item, TensorBase):
            if not fdl_is_places((<TensorBase>item).array) or (
                    fdl_ndim((<TensorBase>item).array) == 0):
                return None
            found.append((<TensorBase>item).array)
            named = True
        elif PySlice_Check(<PyObject *>item):
            s = <PySliceObject *><PyObject *>item
            if s.start != Py_None or s.stop != Py_None or s.step != Py_None:
                return None
            found.append(item)
        else:
            return None
    return tuple(found) if named else None


cdef bint placed(TensorBase x, object index, object value) except -1:
    """x[index] = value for an index as `places_of` takes, where nothing is recorded. Was it?"""
    cdef tuple places
    cdef object given = value
    if not (fdl_is_plain(x.array) and fdl_is_writable(x.array)) or records(x):
        return False
    if isinstance(value, TensorBase):
        if not is_plain(value) or records(<TensorBase>value) or (
                not fdl_same_type((<TensorBase>value).array, x.array)):
            return False
    else:
        given = fdl_box_of(value, fdl_type(x.array))
    places = None if given is None else places_of(x, index)
    if places is None:
        return False
    try:
        PLACE.call_inplace((x, given), {"index": places})
    except (IndexError, RuntimeError, TypeError, ValueError):       # which are explained there
        return False
    return True


cdef object along(int dim, object part):
    """The index that takes `part` of dimension `dim`."""
    return (*((slice(None),) * dim), part, ...)


cdef object narrowed(Primitive op, TensorBase x, int dim, Py_ssize_t start, Py_ssize_t length):
    cdef fdl_layout at
    same(x.array, &at)
    at.shape[dim] = length
    at.offset = start * at.strides[dim]
    y = looking(x, &at)
    if not records(x):
        return y
    return record_view(op, x, y, {"index": along(dim, slice(start, start + length))})


cdef void drop(fdl_layout *at, int dim) noexcept:
    cdef int i
    at.ndim -= 1
    for i in range(dim, at.ndim):
        at.shape[i], at.strides[i] = at.shape[i + 1], at.strides[i + 1]


cdef object short_narrow(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int dim
    cdef Py_ssize_t start, length, full
    if not (as_dim(args[0], fdl_ndim(x.array), &dim) and as_int(args[1], &start)
            and as_int(args[2], &length)):
        return None
    full = fdl_length(x.array, dim)
    start += full if start < 0 else 0
    if start < 0 or length < 0 or start > full - length:
        return None
    return narrowed(op, x, dim, start, length)


cdef object short_select(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int dim
    cdef Py_ssize_t i, full
    if not as_dim(args[0], fdl_ndim(x.array), &dim) or not as_int(args[1], &i):
        return None
    full = fdl_length(x.array, dim)
    if not -full <= i < full:
        return None
    same(x.array, &at)
    at.offset = (i + full if i < 0 else i) * at.strides[dim]
    drop(&at, dim)
    y = looking(x, &at)
    return record_view(op, x, y, {"index": along(dim, i)}) if records(x) else y


cdef object parts_of(Primitive op, TensorBase x, fdl_layout *at, Py_ssize_t count, Py_ssize_t step,
                     int dim, Py_ssize_t *lengths, dict static):
    """`count` views that lie as `at` says, each `step` bytes behind the one before; with `lengths`
    of their own along `dim`, after one another."""
    cdef tuple parts = PyTuple_New(count)
    cdef Py_ssize_t i
    for i in range(count):
        if lengths != NULL:
            at.shape[dim] = lengths[i]
        y = looking(x, at)
        Py_INCREF(y)
        PyTuple_SET_ITEM(parts, i, y)
        at.offset += step if lengths == NULL else lengths[i] * step
    if records(x):
        op.record_several((x,), (x.array,), static, 1, parts)
    return parts


cdef object short_unbind(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef int dim = 0
    cdef Py_ssize_t full, step
    if fdl_ndim(x.array) == 0 or (args[0] != NULL and not as_dim(args[0], fdl_ndim(x.array), &dim)):
        return None
    full, step = fdl_length(x.array, dim), fdl_stride(x.array, dim)
    same(x.array, &at)
    drop(&at, dim)
    return parts_of(op, x, &at, full, step, dim, NULL, {"dim": dim})


cdef object in_pieces(Primitive op, TensorBase x, int dim, Py_ssize_t most):
    """Views of `most` elements along `dim`, or what the last has left."""
    cdef fdl_layout at
    cdef Py_ssize_t lengths[64]
    cdef Py_ssize_t i, full = fdl_length(x.array, dim), count = (full - 1) // most + 1
    if full == 0 or count > 64:
        return None
    for i in range(count):
        lengths[i] = min(most, full - i * most)
    same(x.array, &at)
    return parts_of(op, x, &at, count, at.strides[dim], dim, lengths,
                    {"dim": dim, "lengths": tuple([lengths[i] for i in range(count)])})


cdef object short_split(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef fdl_layout at
    cdef Py_ssize_t lengths[64]
    cdef Py_ssize_t size, i, total = 0
    cdef int dim = 0, count
    if args[0] == NULL or fdl_ndim(x.array) == 0 or (
            args[1] != NULL and not as_dim(args[1], fdl_ndim(x.array), &dim)):
        return None
    if as_int(args[0], &size):
        return in_pieces(op, x, dim, size) if size > 0 else None
    count = as_ints(args, 1, lengths)
    for i in range(count):
        if lengths[i] < 0:
            return None
        total += lengths[i]
    if count < 0 or total != fdl_length(x.array, dim):
        return None
    same(x.array, &at)
    return parts_of(op, x, &at, count, at.strides[dim], dim, lengths,
                    {"dim": dim, "lengths": tuple([lengths[i] for i in range(count)])})


cdef object short_chunk(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int dim = 0
    cdef Py_ssize_t count
    if not as_int(args[0], &count) or count <= 0 or fdl_ndim(x.array) == 0 or (
            args[1] != NULL and not as_dim(args[1], fdl_ndim(x.array), &dim)):
        return None
    return in_pieces(op, x, dim, max((fdl_length(x.array, dim) - 1) // count + 1, 1))


# ---- wrong arguments --------------------------------------------------------------------------

@cython.final
cdef class Guarded:
    """A function of tensors that says which argument is none: guarded(function).

    It has the name, the signature and the documentation of the function. Calls with one of the
    keywords `others`, which the function itself does not take, go to `taking`.
    """
    cdef readonly object __wrapped__
    cdef object taking
    cdef frozenset others
    cdef dict __dict__

    def __init__(self, function, taking=None, others=frozenset()):
        self.__wrapped__ = function
        self.taking = taking
        self.others = others
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(self, attribute, getattr(function, attribute))

    def __call__(self, *args, **keywords):          # what runs is `guarded_call`
        return guarded_call(self, args, <PyObject *>keywords)

    def __get__(self, instance, owner):
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self):
        return (guarded, (self.__wrapped__,)) if self.taking is None else self.__qualname__

    def __repr__(self):
        return repr(self.__wrapped__)


def guarded(function, taking=None, others=frozenset()):
    """`function`, whose AttributeErrors about arguments that are no tensors become TypeErrors;
    `taking` is called instead where one of the keywords `others` is given."""
    return Guarded(function, taking, others)


cdef object guarded_call(Guarded self, tuple args, PyObject *keywords):
    if keywords != NULL and self.taking is not None:
        for name in <dict>keywords:
            if name in self.others:
                return PyObject_Call(self.taking, args, keywords)
    return explained_call(self.__wrapped__, args, keywords)


cdef object explained_call(object function, tuple args, PyObject *keywords):
    """function(*args, **keywords); TypeError where an argument had to be a Tensor."""
    try:
        return PyObject_Call(function, args, keywords)
    except AttributeError as error:
        explained = no_tensor(function, args, {} if keywords == NULL else <dict>keywords, error)
        if explained is None:
            raise
        raise explained from None


def no_tensor(function, args, keywords, error):
    """The TypeError for the argument that had to be a Tensor, None if the AttributeError `error`
    comes of no argument."""
    if error.name is None or isinstance(error.obj, TensorBase):
        return None
    try:
        given = inspect.signature(function).bind(*args, **keywords).arguments
    except TypeError as wrong:
        return TypeError(f"{function.__name__}() {wrong}")
    for position, (name, value) in enumerate(given.items()):
        if value is error.obj:
            return TypeError(f"{function.__name__}(): argument {name!r} (position {position + 1}) "
                             f"must be Tensor, not {type(value).__name__}")
        if isinstance(value, (tuple, list)) and any([item is error.obj for item in value]):
            return TypeError(f"{function.__name__}(): argument {name!r} (position {position + 1}) "
                             f"must hold Tensors, not {type(error.obj).__name__}")
    return None


# ---- reductions ---------------------------------------------------------------------------------

cdef tuple EVERY = tuple([tuple(range(ndim)) for ndim in range(FDL_DIMS + 1)])


cdef tuple dims_of(PyObject *dim, int ndim):
    """The dimensions that `dim` names: all for None and (), None if it is nothing plain."""
    cdef Py_ssize_t given[64]
    cdef uint64_t seen = 0
    cdef int i, d, count
    if dim == NULL or dim == Py_None:
        return <tuple>PyTuple_GET_ITEM(EVERY, ndim)
    if PyLong_CheckExact(dim):
        return (d,) if as_dim(dim, ndim, &d) else None
    count = as_ints(&dim, 1, given)
    if count == 0:
        return <tuple>PyTuple_GET_ITEM(EVERY, ndim)
    for i in range(count):
        given[i] += ndim if given[i] < 0 else 0
        if not 0 <= given[i] < ndim or seen >> given[i] & 1:
            return None
        seen |= <uint64_t>1 << given[i]
    return tuple([given[i] for i in range(count)]) if count > 0 else None


cdef object reduced(Primitive op, TensorBase x, PyObject *dim, PyObject *keepdim):
    cdef tuple dims = dims_of(dim, fdl_ndim(x.array))
    if dims is None or not (keepdim == NULL or isinstance(<object>keepdim, bool)):
        return None
    return op.call((x,), {"dims": dims, "keepdim": keepdim != NULL and <object>keepdim is True})


cdef inline bint is_flag(PyObject *a):
    """Is it True, False or not given?"""
    return a == NULL or isinstance(<object>a, bool)


cdef object short_sum(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    if args[0] == NULL and args[1] == NULL and not fdl_is_real(x.array):
        total = fdl_count(x.array)
        if total is not None:
            return wrap(total)
    return reduced(op, x, args[0], args[1])


cdef object short_equal(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """A bool."""
    cdef int same
    if args[0] == NULL or not isinstance(<object>args[0], TensorBase) or (
            not is_plain(<object>args[0])):
        return None
    same = fdl_equal((<TensorBase>of).array, (<TensorBase>args[0]).array)
    return None if same < 0 else same != 0


cdef object short_any(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return found(<TensorBase>of, args, True)


cdef object short_all(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return found(<TensorBase>of, args, False)


cdef object found(TensorBase x, PyObject **args, bint wanted):
    """any (all) of all bools of x, or of those along a dimension."""
    cdef int d
    if not fdl_is_truth(x.array) or not fdl_in_order(x.array) or not is_flag(args[1]):
        return None
    if args[0] != NULL:
        if not as_dim(args[0], fdl_ndim(x.array), &d) or fdl_size(x.array) > FEW:
            return None
        return wrap(fdl_finds_along(x.array, d, args[1] != NULL and <object>args[1] is True,
                                    wanted))
    if args[1] != NULL:
        return None
    return wrap(fdl_box_of(fdl_finds(x.array, wanted) == wanted, fdl_type(x.array)))


cdef object short_position(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int d = -1
    if not fdl_is_real(x.array) or fdl_size(x.array) == 0 or not is_flag(args[1]) or (
            args[0] != NULL and args[0] != Py_None
            and not as_dim(args[0], fdl_ndim(x.array), &d)):
        return None
    return op.call((x,), {"dim": d if d >= 0 else None,
                          "keepdim": args[1] != NULL and <object>args[1] is True})


cdef object short_norm(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    if not fdl_is_real(x.array) or (args[0] != NULL and not (
            isinstance(<object>args[0], str) and <object>args[0] == "fro")):
        return None
    return reduced(op, x, args[1], args[2])


cdef object short_scan(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int d
    return op.call((x,), {"dim": d}) if as_dim(args[0], fdl_ndim(x.array), &d) else None


cdef object short_softmax(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int d
    if not fdl_is_real(x.array) or (args[1] != NULL and args[1] != Py_None) or (
            not as_dim(args[0], fdl_ndim(x.array), &d)):
        return None
    return op.call((x,), {"axis": d})


cdef object short_flip(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef tuple dims = tuple([<object>args[i] for i in range(n)])
    if n == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    dims = dims_of(<PyObject *>dims, fdl_ndim(x.array)) if dims else None
    return None if dims is None else op.call((x,), {"dims": dims})


cdef object short_roll(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef Py_ssize_t shift
    cdef int d
    if not as_int(args[0], &shift) or not as_dim(args[1], fdl_ndim(x.array), &d) or (
            fdl_size(x.array) == 0):
        return None
    return op.call((x,), {"shifts": (shift,), "dims": (d,)})


# ---- places -------------------------------------------------------------------------------------

cdef object short_gather(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef TensorBase index
    cdef int d, i, ndim = fdl_ndim(x.array)
    if not as_dim(args[0], ndim, &d) or args[1] == NULL or (
            not isinstance(<object>args[1], TensorBase)):
        return None
    index = <TensorBase>args[1]
    if not fdl_is_places(index.array) or fdl_ndim(index.array) != ndim or (
            not fdl_within(index.array, 0, fdl_length(x.array, d))):
        return None
    for i in range(ndim):
        if i != d and fdl_length(index.array, i) > fdl_length(x.array, i):
            return None
    return op.call((x, index), {"dim": d})


cdef object short_take_along(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Of lengths that agree beside the dimension."""
    cdef TensorBase x = <TensorBase>of
    cdef TensorBase index
    cdef PyObject *swapped[2]
    cdef int d, i, ndim = fdl_ndim(x.array)
    if not as_dim(args[1], ndim, &d) or args[0] == NULL or (
            not isinstance(<object>args[0], TensorBase)):
        return None
    index = <TensorBase>args[0]
    if not fdl_is_places(index.array) or fdl_ndim(index.array) != ndim:
        return None
    for i in range(ndim):
        if i != d and fdl_length(index.array, i) != fdl_length(x.array, i):
            return None
    swapped[0], swapped[1] = args[1], args[0]
    return short_gather(op, of, swapped, 2)


cdef tuple scattering(TensorBase x, PyObject **args, int *dim):
    """The operands of a scatter of a tensor shaped as `index`, or a number; None of another."""
    cdef TensorBase index, source
    cdef int i, ndim = fdl_ndim(x.array)
    if not as_dim(args[0], ndim, dim) or args[1] == NULL or args[2] == NULL or (
            not isinstance(<object>args[1], TensorBase)):
        return None
    index = <TensorBase>args[1]
    if not fdl_is_places(index.array) or fdl_ndim(index.array) != ndim or (
            fdl_size(index.array) == 0
            or not fdl_within(index.array, 0, fdl_length(x.array, dim[0]))):
        return None
    for i in range(ndim):
        if i != dim[0] and fdl_length(index.array, i) > fdl_length(x.array, i):
            return None
    if isinstance(<object>args[2], TensorBase):
        source = <TensorBase>args[2]
        if not (is_plain(source) and fdl_same_type(source.array, x.array)
                and fdl_ndim(source.array) == ndim):
            return None
        for i in range(ndim):
            if fdl_length(source.array, i) != fdl_length(index.array, i):
                return None
        return (x, index, source)
    box = fdl_box_of(<object>args[2], fdl_type(x.array))
    return None if box is None else (x, index, box)


cdef object short_scatter(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef int d = 0
    cdef tuple operands = scattering(<TensorBase>of, args, &d)
    return None if operands is None else op.call(operands, {"dim": d})


cdef object short_scatter_(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef int d = 0
    cdef tuple operands = scattering(<TensorBase>of, args, &d)
    return None if operands is None else op.call_inplace(operands, {"dim": d})


cdef object short_scatter_add(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return short_scatter(op, of, args, n) if args[2] != NULL and (
        isinstance(<object>args[2], TensorBase)) else None


cdef object short_scatter_add_(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return short_scatter_(op, of, args, n) if args[2] != NULL and (
        isinstance(<object>args[2], TensorBase)) else None


cdef object short_index_select(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef TensorBase index
    cdef int d
    if not as_dim(args[0], fdl_ndim(x.array), &d) or args[1] == NULL or (
            not isinstance(<object>args[1], TensorBase)):
        return None
    index = <TensorBase>args[1]
    if not fdl_is_places(index.array) or fdl_ndim(index.array) != 1 or (
            not fdl_within(index.array, 0, fdl_length(x.array, d))):
        return None
    return op.call((x,), {"index": along(d, index.array)})


cdef object short_where(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Of tensors of one dtype, or of a floating point one and a number."""
    cdef TensorBase condition = <TensorBase>of
    cdef int type = -1, i
    if not fdl_is_truth(condition.array) or args[0] == NULL or args[1] == NULL:
        return None
    for i in range(2):
        if isinstance(<object>args[i], TensorBase):
            if not is_plain(<object>args[i]) or (
                    type >= 0 and fdl_type((<TensorBase>args[i]).array) != type):
                return None
            type = fdl_type((<TensorBase>args[i]).array)
            if not fdl_is_real((<TensorBase>args[i]).array) and not (
                    isinstance(<object>args[1 - i], TensorBase)):
                return None
        elif not (PyLong_CheckExact(args[i]) or PyFloat_CheckExact(args[i])):
            return None
    if type < 0:
        return None
    x, y = boxed(<object>args[0], type), boxed(<object>args[1], type)
    return None if x is None or y is None else op.call((condition, x, y), None)


cdef inline object boxed(object a, int type):
    """A tensor as it is, a plain number as a 0-d array; None if `type` does not hold it."""
    return a if isinstance(a, TensorBase) else fdl_box_of(a, type)


cdef object short_clamp(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Between plain numbers."""
    cdef int i, bounds = 0
    for i in range(2):
        if args[i] != NULL and args[i] != Py_None:
            if not (PyLong_CheckExact(args[i]) or PyFloat_CheckExact(args[i])):
                return None
            bounds += 1
    return None if bounds == 0 else op.call((of,), {
        "min": None if args[0] == NULL else <object>args[0],
        "max": None if args[1] == NULL else <object>args[1]})


cdef object short_mean(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    return reduced(op, x, args[0], args[1]) if fdl_is_real(x.array) else None


cdef object short_amax(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    return reduced(op, x, args[0], args[1]) if fdl_size(x.array) else None


cdef object short_max(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int d
    if fdl_size(x.array) == 0 or not is_flag(args[1]):
        return None
    if args[0] == NULL and args[1] == NULL:
        return reduced(op, x, NULL, NULL)
    if not as_dim(args[0], fdl_ndim(x.array), &d):
        return None
    both = (<Primitive>op.paired[0]).call(
        (x,), {"dim": d, "keepdim": args[1] != NULL and <object>args[1] is True})
    return tuple.__new__(op.paired[1], both)


cdef tuple ranked(Primitive op, TensorBase x, PyObject *dim, PyObject *greatest, Py_ssize_t k,
                  bint usual):
    """(values, places) of the first k along `dim`, -1: of all, or None; `usual`: of the greatest,
    where that is not given."""
    cdef int d = fdl_ndim(x.array) - 1
    if d < 0 or not is_flag(greatest) or (dim != NULL and not as_dim(dim, d + 1, &d)):
        return None
    if k < 0:
        k = fdl_length(x.array, d)
    elif k > fdl_length(x.array, d) or fdl_is_truth(x.array) or fdl_size(x.array) > FEW:
        return None
    if greatest != NULL:
        usual = <object>greatest is True
    return op.call((x,), {"dim": d, "first": 0, "last": k, "greatest": usual})


cdef object short_sort(Primitive op, object of, PyObject **args, Py_ssize_t n):
    both = None if args[2] != NULL else ranked(op, <TensorBase>of, args[0], args[1], -1, False)
    return None if both is None else tuple.__new__(op.paired[0], both)


cdef object short_argsort(Primitive op, object of, PyObject **args, Py_ssize_t n):
    both = None if args[2] != NULL or records(<TensorBase>of) else (
        ranked(op, <TensorBase>of, args[0], args[1], -1, False))
    return None if both is None else both[1]


cdef object short_topk(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef Py_ssize_t k
    if not as_int(args[0], &k) or k < 0 or not is_flag(args[3]):
        return None
    both = ranked(op, <TensorBase>of, args[1], args[2], k, True)
    return None if both is None else tuple.__new__(op.paired[1], both)


cdef object short_median(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef int d
    if not fdl_is_real(x.array) or not is_flag(args[1]) or fdl_size(x.array) == 0:
        return None
    if args[0] == NULL:
        return op.call((x,), {"skip_nan": False}) if args[1] == NULL else None
    if not as_dim(args[0], fdl_ndim(x.array), &d):
        return None
    both = (<Primitive>op.paired[0]).call((x,), {
        "dim": d, "keepdim": args[1] != NULL and <object>args[1] is True, "skip_nan": False})
    return tuple.__new__(op.paired[1], both)


cdef object short_var(Primitive op, object of, PyObject **args, Py_ssize_t n):
    cdef TensorBase x = <TensorBase>of
    cdef tuple dims
    cdef Py_ssize_t count = 1
    if not fdl_is_real(x.array) or (args[0] != NULL and isinstance(<object>args[0], bool)) or (
            args[1] != NULL and not isinstance(<object>args[1], bool)) or (
            args[2] != NULL and not isinstance(<object>args[2], bool)):
        return None
    dims = dims_of(args[0], fdl_ndim(x.array))
    if dims is None:
        return None
    for d in dims:
        count *= fdl_length(x.array, d)
    if count < 2:                                   # of which PyTorch warns
        return None
    return op.call((x,), {"dims": dims,
                          "correction": 0 if args[1] != NULL and <object>args[1] is False else 1,
                          "keepdim": args[2] != NULL and <object>args[2] is True})


# ---- lists of tensors ----------------------------------------------------------------------------

cdef object join_list(Primitive op, object tensors, PyObject *dim, bint stacked):
    """cat or stack of tensors of one dtype whose shapes fit."""
    cdef tuple xs
    cdef TensorBase first, x
    cdef int ndim, d = 0, i
    if not isinstance(tensors, (list, tuple)):
        return None
    xs = tuple(tensors)
    if PyTuple_GET_SIZE(xs) == 0 or not is_plain(<object>PyTuple_GET_ITEM(xs, 0)):
        return None
    first = <TensorBase>PyTuple_GET_ITEM(xs, 0)
    ndim = fdl_ndim(first.array)
    if dim != NULL and not as_dim(dim, ndim + stacked, &d) or ndim + stacked == 0:
        return None
    for y in xs:
        if not is_plain(y):
            return None
        x = <TensorBase>y
        if fdl_ndim(x.array) != ndim or not fdl_same_type(x.array, first.array):
            return None
        for i in range(ndim):
            if fdl_length(x.array, i) != fdl_length(first.array, i) and (stacked or i != d):
                return None
    return op.call(xs, {"dim": d})


cdef object short_cat(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return join_list(op, of, args[0], False)


cdef object short_stack(Primitive op, object of, PyObject **args, Py_ssize_t n):
    return join_list(op, of, args[0], True)


cdef object short_hstack(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Of vectors, or beside one another."""
    return upright(op, of, 1)


cdef object short_vstack(Primitive op, object of, PyObject **args, Py_ssize_t n):
    """Of matrices, and more dimensions."""
    return upright(op, of, 2)


cdef object upright(Primitive op, object tensors, int least):
    """cat of tensors of `least` or more dimensions: along the second for 1, but of vectors."""
    cdef int ndim
    cdef object dim
    if not isinstance(tensors, (list, tuple)) or len(tensors) == 0 or not is_plain(tensors[0]):
        return None
    ndim = fdl_ndim((<TensorBase>tensors[0]).array)
    if ndim < least:
        return None
    dim = 1 if least == 1 and ndim > 1 else 0
    return join_list(op, tensors, <PyObject *>dim, False)


cdef Way way_of(str name) except NULL:
    if name in ("reshape", "view"):
        return short_reshape
    if name == "flatten":
        return short_flatten
    if name == "squeeze":
        return short_squeeze
    if name == "unsqueeze":
        return short_unsqueeze
    if name == "unfold":
        return short_unfold
    if name == "expand":
        return short_expand
    if name == "transpose":
        return short_transpose
    if name == "t":
        return short_t
    if name == "permute":
        return short_permute
    if name == "reverse":
        return short_reverse
    if name in ("diag", "diagonal"):
        return short_diagonal
    if name == "narrow":
        return short_narrow
    if name == "select":
        return short_select
    if name == "unbind":
        return short_unbind
    if name == "split":
        return short_split
    if name == "chunk":
        return short_chunk
    if name == "sum":
        return short_sum
    if name == "mean":
        return short_mean
    if name in ("amax", "amin"):
        return short_amax
    if name in ("max", "min"):
        return short_max
    if name in ("var", "std"):
        return short_var
    if name == "sort":
        return short_sort
    if name == "argsort":
        return short_argsort
    if name == "topk":
        return short_topk
    if name == "median":
        return short_median
    if name == "cat":
        return short_cat
    if name == "stack":
        return short_stack
    if name == "hstack":
        return short_hstack
    if name == "vstack":
        return short_vstack
    if name == "equal":
        return short_equal
    if name == "any":
        return short_any
    if name == "all":
        return short_all
    if name in ("argmax", "argmin"):
        return short_position
    if name == "norm":
        return short_norm
    if name in ("cumsum", "cumprod"):
        return short_scan
    if name in ("softmax", "log_softmax"):
        return short_softmax
    if name == "flip":
        return short_flip
    if name == "roll":
        return short_roll
    if name == "gather":
        return short_gather
    if name == "scatter":
        return short_scatter
    if name == "scatter_":
        return short_scatter_
    if name == "scatter_add":
        return short_scatter_add
    if name == "scatter_add_":
        return short_scatter_add_
    if name == "index_select":
        return short_index_select
    if name == "where":
        return short_where
    if name == "take_along_dim":
        return short_take_along
    if name == "clamp":
        return short_clamp
    raise ValueError(f"shortcut: there is none for {name}()")


(<PyTypeObject *>Shortcut).tp_call = <ternaryfunc>short_call
fdl_is_method(Shortcut)
(<PyTypeObject *>Guarded).tp_call = <ternaryfunc>guarded_call
fdl_is_method(Guarded)
