# Elementwise functions: included by _kernels.pyx. MAPS holds one `Map` for every line of
# csrc/elementwise/functions.inc.c.

from cpython.ref cimport Py_INCREF
from libc.stdint cimport uintptr_t

cdef extern from "numpy/arrayobject.h":
    cnp.ndarray PyArray_NewLikeArray(cnp.ndarray, cnp.NPY_ORDER, cnp.dtype, int subok)

# Parameters of the functions that have any, by name, with their defaults.
cdef dict MAP_PARAMETERS = {
    "add_scaled": {"alpha": 1.0},
    "addcmul": {"value": 1.0},
    "addcdiv": {"value": 1.0},
    "clamp": {"min": -INFINITY, "max": INFINITY},
    "finite": {"neginf": -INFINITY, "posinf": INFINITY},
    "clamp_backward": {"min": -INFINITY, "max": INFINITY},
    "leaky_relu": {"slope": 0.01},
    "leaky_relu_backward": {"slope": 0.01},
    "elu": {"alpha": 1.0, "scale": 1.0},
    "elu_backward": {"alpha": 1.0, "scale": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "softplus_backward": {"beta": 1.0, "threshold": 20.0},
    "hardtanh_backward": {"min": -1.0, "max": 1.0},
    "softshrink": {"lambd": 0.5},
    "hardshrink": {"lambd": 0.5},
    "shrink_backward": {"lambd": 0.5},
    "huber": {"delta": 1.0},
    "huber_backward": {"delta": 1.0},
}
cdef dict MAP_TRUTH_INPUT = {"select": 0, "masked_fill": 1}
cdef tuple MAP_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@cython.final
@cython.auto_pickle(False)
cdef class Map:
    """An elementwise function of one to three arrays that broadcast against each other.

    map(x, y, ..., out=None, isa=None, threads=0, **parameters): arrays of any layout and of one
    dtype, float32 or float64; a condition or mask is bool, and comparisons return bool. Small
    integers such as `alpha` are parameters. A new result is laid out like the first array that has
    its shape. `out` may be one of the arrays; one that overlaps it otherwise is copied first.
    """
    cdef readonly str name
    cdef readonly str formula           # of the inputs a, b, c and the parameters p, q
    cdef readonly int inputs
    cdef readonly dict parameters       # name -> default
    cdef int function, truth            # the input that is bool, or -1
    cdef bint compares

    def __call__(self, *arrays, out=None, isa=None, int threads=0, **parameters):
        cdef fdl_map m
        cdef const fdl_kernels *kernels
        cdef int n
        cdef cnp.ndarray first, y
        self.check_arrays(&m, arrays, parameters)
        first = <cnp.ndarray>PyTuple_GET_ITEM(arrays, 1 if self.truth == 0 else 0)
        kernels = table_of(first, isa, self.name, "its arguments")
        n = threads_of(threads)
        if out is not None:
            if not isinstance(out, cnp.ndarray):
                raise TypeError(f"{self.name}: out must be an array, got {type(out).__name__}")
            arrays = tuple([apart_from(out, a) for a in arrays])    # lives until the kernel is done
            first = arrays[1 if self.truth == 0 else 0]
        y = self.lay_out(&m, arrays, first, out)
        with nogil:
            kernels.map(self.function, &m, n)
        return y

    def sum(self, *arrays, double factor=1, isa=None, int threads=0, **parameters):
        """`factor` times the sum of the function's values, 0-d; no array of them is made."""
        cdef fdl_map m
        cdef const fdl_kernels *kernels
        cdef int n, status
        cdef cnp.ndarray first, total
        self.check_arrays(&m, arrays, parameters)
        first = <cnp.ndarray>PyTuple_GET_ITEM(arrays, 1 if self.truth == 0 else 0)
        kernels = table_of(first, isa, self.name, "its arguments")
        n = threads_of(threads)
        if not self.alike(&m, arrays, first):
            self.lay_out(&m, arrays, first, None)       # whose array is not touched
        total = cnp.PyArray_EMPTY(0, NULL, cnp.PyArray_TYPE(first), 0)
        with nogil:
            status = kernels.map_sum(self.function, &m, factor, data_of(total), n)
        finish(status, self.name)
        return total

    cdef int check_arrays(self, fdl_map *m, tuple arrays, dict parameters) except -1:
        """Raises unless arrays and parameters are the function's; fills in the parameters."""
        cdef int i
        cdef cnp.ndarray first
        if PyTuple_GET_SIZE(arrays) != self.inputs:
            raise TypeError(
                f"{self.name}: expected {self.inputs} arrays, got {PyTuple_GET_SIZE(arrays)}"
            )
        for i in range(self.inputs):
            if not isinstance(<object>PyTuple_GET_ITEM(arrays, i), cnp.ndarray):
                raise TypeError(
                    f"{self.name}: argument {i} must be an array, got {type(arrays[i]).__name__}"
                )
        m.p = m.q = 0
        if self.parameters is not None:
            self.read_parameters(m, parameters)
        elif parameters:
            raise TypeError(f"{self.name}: takes no parameter {next(iter(parameters))!r}")
        first = <cnp.ndarray>PyTuple_GET_ITEM(arrays, 1 if self.truth == 0 else 0)
        for i in range(self.inputs):
            self.check_dtype(first, <cnp.ndarray>PyTuple_GET_ITEM(arrays, i), i)
        return 0

    cdef int read_parameters(self, fdl_map *m, dict given) except -1:
        """p and q: the first and the second parameter, their defaults where None or not given."""
        cdef int i = 0
        cdef double value
        for name in given:
            if name not in self.parameters:
                raise TypeError(f"{self.name}: takes no parameter {name!r}")
        for name, default in self.parameters.items():
            chosen = given.get(name)
            value = default if chosen is None else chosen
            if i == 0:
                m.p = value
            else:
                m.q = value
            i += 1
        return 0

    cdef int check_dtype(self, cnp.ndarray first, cnp.ndarray x, int i) except -1:
        cdef int wanted = cnp.NPY_BOOL if i == self.truth else cnp.PyArray_TYPE(first)
        if cnp.PyArray_TYPE(x) != wanted or not cnp.PyArray_ISBEHAVED_RO(x):
            dtype = "bool" if i == self.truth else first.dtype
            raise TypeError(
                f"{self.name}: argument {i} must be an aligned {dtype} array in native byte order, "
                f"got {x.dtype}"
            )
        return 0

    cdef bint alike(self, fdl_map *m, tuple arrays, cnp.ndarray first):
        """Are all arrays C-ordered and of one shape? If so fills in all but out.data."""
        cdef cnp.ndarray x
        cdef int i
        cdef bint alike = cnp.PyArray_IS_C_CONTIGUOUS(first)
        m.out.bytes = self.compares
        m.ndim = 1
        m.shape[0] = cnp.PyArray_SIZE(first)
        m.out.step[0] = 1
        for i in range(self.inputs):
            x = <cnp.ndarray>PyTuple_GET_ITEM(arrays, i)
            m.c_in[i].bytes = i == self.truth
            m.c_in[i].data = cnp.PyArray_DATA(x)
            m.c_in[i].step[0] = 1
            if x is not first:
                alike = (alike and cnp.PyArray_SAMESHAPE(x, first)
                         and cnp.PyArray_IS_C_CONTIGUOUS(x))
        return alike

    cdef cnp.ndarray lay_out(self, fdl_map *m, tuple arrays, cnp.ndarray first, out):
        """Fills in all but the parameters; returns the result's array."""
        cdef cnp.npy_intp shape[FDL_MAP_DIMS]
        cdef cnp.ndarray x, y
        cdef int ndim = cnp.PyArray_NDIM(first), i, d, lead
        cdef int typenum = cnp.NPY_BOOL if self.compares else cnp.PyArray_TYPE(first)
        cdef cnp.npy_intp length
        if self.alike(m, arrays, first):                    # the usual case: nothing to work out
            y = (cnp.PyArray_EMPTY(ndim, cnp.PyArray_DIMS(first), typenum, 0) if out is None
                 else out)
            if out is None or (cnp.PyArray_TYPE(y) == typenum and cnp.PyArray_ISCARRAY(y)
                               and cnp.PyArray_SAMESHAPE(y, first)):
                m.out.data = cnp.PyArray_DATA(y)
                return y

        for i in range(self.inputs):
            ndim = max(ndim, cnp.PyArray_NDIM(<cnp.ndarray>PyTuple_GET_ITEM(arrays, i)))
        for d in range(ndim):
            shape[d] = 1
        for i in range(self.inputs):
            x = <cnp.ndarray>PyTuple_GET_ITEM(arrays, i)
            lead = ndim - cnp.PyArray_NDIM(x)
            for d in range(lead, ndim):
                length = cnp.PyArray_DIM(x, d - lead)
                if shape[d] == 1:
                    shape[d] = length
                elif length != 1 and length != shape[d]:
                    raise ValueError(
                        f"{self.name}: operands could not be broadcast together with shapes "
                        + " ".join([str(np.shape(a)) for a in arrays])
                    )
        y = self.result(arrays, ndim, shape, typenum) if out is None else out
        if out is not None:
            if not (cnp.PyArray_TYPE(y) == typenum and cnp.PyArray_ISBEHAVED(y)):
                raise TypeError(
                    f"{self.name}: out must be a writable, aligned "
                    f"{cnp.PyArray_DescrFromType(typenum)} array, got {y.dtype}"
                )
            if not (cnp.PyArray_NDIM(y) == ndim
                    and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(y), shape, ndim)):
                raise ValueError(
                    f"{self.name}: non-broadcastable output operand with shape {np.shape(y)} "
                    f"doesn't match the broadcast shape {tuple([shape[d] for d in range(ndim)])}"
                )
        self.merge(m, arrays, y)
        return y

    cdef cnp.ndarray result(self, tuple arrays, int ndim, cnp.npy_intp *shape, int typenum):
        """An array for the result, with the layout of the first operand that has its shape and is
        not expanded: steps of 0 are no layout."""
        cdef cnp.ndarray x
        cdef cnp.dtype dtype
        cdef int i, d, expanded
        for i in range(self.inputs):
            x = <cnp.ndarray>PyTuple_GET_ITEM(arrays, i)
            if (cnp.PyArray_NDIM(x) == ndim
                    and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(x), shape, ndim)):
                expanded = 0
                for d in range(ndim):
                    if cnp.PyArray_STRIDE(x, d) == 0 and cnp.PyArray_DIM(x, d) > 1:
                        expanded = 1
                if expanded:
                    continue
                if cnp.PyArray_IS_C_CONTIGUOUS(x):
                    break
                dtype = cnp.PyArray_DescrFromType(typenum)
                Py_INCREF(dtype)                        # NumPy takes the reference
                return PyArray_NewLikeArray(x, cnp.NPY_KEEPORDER, dtype, 0)
        return cnp.PyArray_EMPTY(ndim, shape, typenum, 0)

    cdef int merge(self, fdl_map *m, tuple arrays, cnp.ndarray y) except -1:
        """Steps and shape: dimensions ordered by the result's strides, the innermost last, those of
        length 1 left out, and neighbours that every operand walks as one made one."""
        cdef int order[FDL_MAP_DIMS]
        cdef int64_t step[4]
        cdef int ndim = cnp.PyArray_NDIM(y), kept = 0, i, k, d, lead
        cdef cnp.ndarray x
        cdef fdl_map_operand *operand
        cdef bint joins
        for i in range(ndim):
            if cnp.PyArray_DIM(y, i) == 1:
                continue
            k = kept
            while k > 0 and (abs(cnp.PyArray_STRIDE(y, order[k - 1]))
                             < abs(cnp.PyArray_STRIDE(y, i))):
                order[k] = order[k - 1]
                k -= 1
            order[k] = i
            kept += 1
        for i in range(self.inputs):
            x = <cnp.ndarray>PyTuple_GET_ITEM(arrays, i)
            m.c_in[i].data = cnp.PyArray_DATA(x)
        m.out.data = cnp.PyArray_DATA(y)
        m.ndim = 0
        for k in range(kept):
            d = order[k]
            for i in range(self.inputs + 1):
                x = y if i == self.inputs else <cnp.ndarray>PyTuple_GET_ITEM(arrays, i)
                lead = ndim - cnp.PyArray_NDIM(x)
                step[i] = 0
                if d >= lead and cnp.PyArray_DIM(x, d - lead) != 1:
                    step[i] = cnp.PyArray_STRIDE(x, d - lead) // cnp.PyArray_ITEMSIZE(x)
            joins = m.ndim > 0
            for i in range(self.inputs + 1):
                operand = &m.out if i == self.inputs else &m.c_in[i]
                joins = joins and (
                    operand.step[m.ndim - 1] == step[i] * cnp.PyArray_DIM(y, d)
                )
            if joins:
                m.ndim -= 1
                m.shape[m.ndim] *= cnp.PyArray_DIM(y, d)
            else:
                m.shape[m.ndim] = cnp.PyArray_DIM(y, d)
            for i in range(self.inputs + 1):
                operand = &m.out if i == self.inputs else &m.c_in[i]
                operand.step[m.ndim] = step[i]
            m.ndim += 1
        if m.ndim == 0:
            m.ndim = m.shape[0] = 1
            m.out.step[0] = 1
            for i in range(self.inputs):
                m.c_in[i].step[0] = 0
        return 0

    def __repr__(self):
        return f"<elementwise kernel {self.name}: {self.formula}>"


cdef int extent(cnp.ndarray x, uintptr_t *low, uintptr_t *high) except -1:
    """The bytes between which x lies."""
    cdef int d
    cdef cnp.npy_intp span
    low[0] = high[0] = <uintptr_t>cnp.PyArray_DATA(x)
    for d in range(cnp.PyArray_NDIM(x)):
        span = cnp.PyArray_STRIDE(x, d) * (cnp.PyArray_DIM(x, d) - 1)
        if span < 0:
            low[0] += span
        else:
            high[0] += span
    high[0] += cnp.PyArray_ITEMSIZE(x)
    return 0


cdef object apart_from(cnp.ndarray y, cnp.ndarray x):
    """x, or a copy if writing y in its own order could change elements of x not yet read."""
    cdef uintptr_t x_low, x_high, y_low, y_high
    cdef int d
    cdef bint same = x is y
    if not same and cnp.PyArray_DATA(x) == cnp.PyArray_DATA(y) and cnp.PyArray_SAMESHAPE(x, y):
        same = True
        for d in range(cnp.PyArray_NDIM(x)):
            same = same and cnp.PyArray_STRIDE(x, d) == cnp.PyArray_STRIDE(y, d)
    if same:
        return x
    extent(x, &x_low, &x_high)
    extent(y, &y_low, &y_high)
    return x.copy() if x_low < y_high and y_low < x_high else x


cdef dict make_maps():
    cdef dict maps = {}
    cdef const fdl_kernels *kernels = fdl_table(fdl_best_tier(), FDL_F32)
    cdef Map made
    cdef const char *name
    cdef const char *formula
    cdef int inputs, function = 0
    while True:
        name = kernels.map_name(function, &inputs, &formula)
        if name == NULL:
            return maps
        made = Map.__new__(Map)
        made.name = name.decode()
        made.formula = formula.decode()
        made.inputs = inputs
        made.function = function
        made.parameters = MAP_PARAMETERS.get(made.name)
        made.truth = MAP_TRUTH_INPUT.get(made.name, -1)
        made.compares = made.name in MAP_COMPARISONS
        maps[made.name] = made
        function += 1


MAPS = make_maps()
