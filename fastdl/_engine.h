/* What the engine needs of C: grad mode, a look at NumPy arrays without calls, slots of classes.
 *
 * Included by _engine.pyx alone, after Python.h.
 */
#ifndef FASTDL_ENGINE_H
#define FASTDL_ENGINE_H

#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

static __thread int fdl_recording = 1; /* grad mode, one per thread */
static __thread int fdl_autocast = 0;  /* do primitives with `autocast` cast their operands? */
static __thread int fdl_inference = 0; /* inference mode, one per thread */
static __thread PyObject *fdl_walk = NULL; /* the backward pass that runs in the thread, borrowed */

static int fdl_import_numpy(void) { return _import_array(); }

/* A new object of Python type `type`, without running __init__. */
#define FDL_NEW(type, empty)                                                                       \
    (((PyTypeObject *)(type))->tp_new((PyTypeObject *)(type), (empty), NULL))

/* NumPy returns scalars where PyTorch has 0-d tensors. */
static inline PyObject *fdl_as_array(PyObject *y)
{
    if (!PyArray_CheckExact(y) && PyArray_IsScalar(y, Generic)) return PyArray_FromScalar(y, NULL);
    Py_INCREF(y);
    return y;
}

/* Same shape and dtype? -1 when one of the two is no plain NumPy array. */
static inline int fdl_alike(PyObject *a, PyObject *b)
{
    if (!PyArray_CheckExact(a) || !PyArray_CheckExact(b)) return -1;
    PyArrayObject *x = (PyArrayObject *)a, *y = (PyArrayObject *)b;
    int n = PyArray_NDIM(x);
    return n == PyArray_NDIM(y) && PyArray_TYPE(x) == PyArray_TYPE(y) &&
           PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(y), n);
}

/* Floating point or complex, hence differentiable? The dtypes that packages register with NumPy
   and tensors may have are floating point: bfloat16. */
static inline int fdl_is_inexact(PyObject *a)
{
    if (!PyArray_Check(a)) return -1;
    int t = PyArray_TYPE((PyArrayObject *)a);
    return PyTypeNum_ISFLOAT(t) || PyTypeNum_ISCOMPLEX(t) || PyTypeNum_ISUSERDEF(t);
}

static inline int fdl_is_complex(PyObject *a)
{
    return PyArray_Check(a) && PyTypeNum_ISCOMPLEX(PyArray_TYPE((PyArrayObject *)a));
}

/* Are there arrays of float16 or bfloat16, which are computed with in float32, and none of another
   floating point dtype? */
static inline int fdl_half(PyObject *arrays)
{
    int half = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i);
        if (!PyArray_Check(a)) continue;
        int t = PyArray_TYPE((PyArrayObject *)a);
        if (t != NPY_HALF && !PyTypeNum_ISUSERDEF(t)) {
            if (PyTypeNum_ISFLOAT(t) || PyTypeNum_ISCOMPLEX(t)) return 0;
        } else if (half && half != t + 1)
            return 0;
        else
            half = t + 1;
    }
    return half;
}

/* Can an array of the integer `type` hold all Python integers among `arrays`? */
static int fdl_holds(PyObject *arrays, int type)
{
    int bits = 8 * (type == NPY_BYTE || type == NPY_UBYTE     ? 1
                    : type == NPY_SHORT || type == NPY_USHORT ? 2
                    : type == NPY_INT || type == NPY_UINT     ? 4
                                                              : 8);
    int is_unsigned = PyTypeNum_ISUNSIGNED(type);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i);
        if (!PyLong_CheckExact(a)) continue;
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(a, &overflow);
        if (overflow || (is_unsigned && value < 0)) return 0;
        if (bits < 64 && value >> (bits - !is_unsigned) != (value < 0 ? -1 : 0)) return 0;
    }
    return 1;
}

/* Can the operands go to NumPy as they are: one array dtype, and numbers that do not widen it?
   0: no. 1: yes. NPY_FLOAT, NPY_DOUBLE: yes, and there are numbers that fdl_box may replace. */
static inline int fdl_uniform(PyObject *arrays, int floating)
{
    Py_ssize_t n = PyTuple_GET_SIZE(arrays);
    int type = -1, rank = 0, truth = 0; /* rank of the numbers: 1 int, 2 float, 3 complex */
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i);
        if (PyArray_CheckExact(a)) {
            int t = PyArray_TYPE((PyArrayObject *)a);
            if (type < 0)
                type = t;
            else if (t != type)
                return 0;
        } else if (PyFloat_CheckExact(a)) {
            if (rank < 2) rank = 2;
        } else if (PyComplex_CheckExact(a))
            rank = 3;
        else if (PyLong_CheckExact(a)) {
            if (rank < 1) rank = 1;
        } else if (!PyBool_Check(a))
            return 0;
        else
            truth = 1;
    }
    if (type < 0 || (truth && type != NPY_BOOL)) return 0;
    if (PyTypeNum_ISCOMPLEX(type)) return 1;
    if (rank == 3) return 0;
    if (type == NPY_FLOAT || type == NPY_DOUBLE) return rank == 0 ? 1 : type;
    if (PyTypeNum_ISFLOAT(type) || PyTypeNum_ISUSERDEF(type)) return 1;
    if (floating) return 0;
    if (!PyTypeNum_ISINTEGER(type)) return rank < 1;
    return rank < 1 || (rank == 1 && fdl_holds(arrays, type));
}

/* Replace the numbers among `arrays`, a new tuple, by 0-d arrays of `type`: NumPy finds its loop
   for those in a third of the time it takes for Python numbers. */
static int fdl_box(PyObject *arrays, int type)
{
    Py_ssize_t n = PyTuple_GET_SIZE(arrays);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i);
        if (PyArray_CheckExact(a)) continue;
        double value = PyFloat_CheckExact(a) ? PyFloat_AS_DOUBLE(a) : PyLong_AsDouble(a);
        if (value == -1.0 && PyErr_Occurred()) return -1;
        PyObject *box = PyArray_SimpleNew(0, NULL, type);
        if (box == NULL) return -1;
        void *data = PyArray_DATA((PyArrayObject *)box);
        if (type == NPY_FLOAT)
            *(float *)data = (float)value;
        else
            *(double *)data = value;
        PyTuple_SET_ITEM(arrays, i, box);
        Py_DECREF(a);
    }
    return 0;
}

/* What a kernel takes: arrays all of float32, or all of float64; of any one dtype; or floats with
   others of the NumPy type that its number names. */
enum { FDL_FLOATS = -2, FDL_MOVES = -1 };

/* Are these plain arrays as a kernel takes them? */
static inline int fdl_kernel_ready(PyObject *arrays, int takes)
{
    Py_ssize_t n = PyTuple_GET_SIZE(arrays);
    int type = -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i);
        if (!PyArray_CheckExact(a) || !PyArray_ISBEHAVED_RO((PyArrayObject *)a)) return 0;
        int t = PyArray_TYPE((PyArrayObject *)a);
        if (t == takes) continue;
        if (t != NPY_FLOAT && t != NPY_DOUBLE && takes != FDL_MOVES) return 0;
        if (type >= 0 && t != type) return 0;
        type = t;
    }
    return type >= 0;
}

/* Does the array own its memory, in C order, with nobody else holding it? The memory may be that of
 * an array which only this one knows and shows whole: a result that was reshaped. */
static inline int fdl_exclusive(PyObject *a)
{
    if (!PyArray_CheckExact(a) || Py_REFCNT(a) != 1) return 0;
    PyArrayObject *x = (PyArrayObject *)a, *owner = x;
    PyObject *base = PyArray_BASE(x);
    if (base != NULL) {
        if (!PyArray_CheckExact(base) || Py_REFCNT(base) != 1) return 0;
        owner = (PyArrayObject *)base;
        if (PyArray_NBYTES(owner) != PyArray_NBYTES(x)) return 0;
    }
    return (PyArray_FLAGS(owner) & NPY_ARRAY_OWNDATA) && PyArray_IS_C_CONTIGUOUS(x) &&
           PyArray_ISWRITEABLE(x);
}

/* A plain array in C order: reshaping or slicing it gives a view. */
static inline int fdl_in_order(PyObject *a)
{
    return PyArray_CheckExact(a) && PyArray_IS_C_CONTIGUOUS((PyArrayObject *)a);
}

/* Is `view` a window on the memory of `a`? NumPy keeps bases collapsed to the owner. */
static inline int fdl_shares(PyObject *view, PyObject *a)
{
    if (view == a) return 1;
    if (!PyArray_Check(view) || !PyArray_Check(a)) return -1;
    PyObject *base = PyArray_BASE((PyArrayObject *)view);
    return base != NULL && (base == a || base == PyArray_BASE((PyArrayObject *)a));
}

/* What a shape function needs of a plain array. */
static inline int fdl_is_plain(PyObject *a) { return PyArray_CheckExact(a); }
static inline int fdl_type(PyObject *a) { return PyArray_TYPE((PyArrayObject *)a); }
static inline int fdl_is_real(PyObject *a)
{
    return PyTypeNum_ISFLOAT(PyArray_TYPE((PyArrayObject *)a));
}
static inline int fdl_same_type(PyObject *a, PyObject *b)
{
    return PyArray_TYPE((PyArrayObject *)a) == PyArray_TYPE((PyArrayObject *)b);
}
static inline int fdl_ndim(PyObject *a) { return PyArray_NDIM((PyArrayObject *)a); }
static inline Py_ssize_t fdl_size(PyObject *a) { return PyArray_SIZE((PyArrayObject *)a); }
static inline Py_ssize_t fdl_item(PyObject *a) { return PyArray_ITEMSIZE((PyArrayObject *)a); }
static inline Py_ssize_t fdl_length(PyObject *a, int d)
{
    return PyArray_DIM((PyArrayObject *)a, d);
}
static inline Py_ssize_t fdl_stride(PyObject *a, int d)
{
    return PyArray_STRIDE((PyArrayObject *)a, d);
}

/* The shape as an object of `type`, a class of tuples. */
static inline PyObject *fdl_size_tuple(PyObject *type, PyObject *a)
{
    int n = PyArray_NDIM((PyArrayObject *)a);
    PyObject *t = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, n);
    for (int i = 0; t != NULL && i < n; i++) {
        PyObject *length = PyLong_FromSsize_t(PyArray_DIM((PyArrayObject *)a, i));
        if (length == NULL) {
            Py_DECREF(t);
            return NULL;
        }
        PyTuple_SET_ITEM(t, i, length);
    }
    return t;
}

enum { FDL_DIMS = 64 }; /* as many as NumPy has */

/* How a view lies in the memory of a plain array: strides and offset in bytes. */
typedef struct {
    int ndim;
    npy_intp shape[FDL_DIMS], strides[FDL_DIMS], offset;
    int overlaps; /* several elements are one in memory: not to be written */
} fdl_layout;

static inline PyObject *fdl_window(PyObject *a, fdl_layout *l)
{
    PyArrayObject *x = (PyArrayObject *)a;
    int flags = PyArray_FLAGS(x) & ~(l->overlaps ? NPY_ARRAY_WRITEABLE : 0);
    PyArray_Descr *descr = PyArray_DESCR(x);
    Py_INCREF(descr);
    PyObject *y = PyArray_NewFromDescr(&PyArray_Type, descr, l->ndim, l->shape, l->strides,
                                       PyArray_BYTES(x) + l->offset, flags, NULL);
    if (y == NULL) return NULL;
    Py_INCREF(a);
    if (PyArray_SetBaseObject((PyArrayObject *)y, a) < 0) {
        Py_DECREF(y);
        return NULL;
    }
    return y;
}

/* ---- numbers of Python as elements ---- */

/* Lists within lists, down to numbers at one depth. */
typedef struct {
    int ndim;
    npy_intp shape[FDL_DIMS];
    int kind; /* of the numbers: 0 bools, 1 ints, 2 floats among them */
} fdl_nested;

static inline PyObject **fdl_items(PyObject *a, Py_ssize_t *n)
{
    if (PyList_CheckExact(a)) {
        *n = PyList_GET_SIZE(a);
        return ((PyListObject *)a)->ob_item;
    }
    if (!PyTuple_CheckExact(a)) return NULL;
    *n = PyTuple_GET_SIZE(a);
    return ((PyTupleObject *)a)->ob_item;
}

/* Is `a`, at `depth`, of the shape in `s`, and does it end in plain numbers? Notes their kind. */
static int fdl_survey(PyObject *a, int depth, fdl_nested *s)
{
    if (depth == s->ndim) {
        int kind = PyFloat_CheckExact(a) ? 2 : PyBool_Check(a) ? 0 : PyLong_CheckExact(a) ? 1 : -1;
        if (kind > s->kind) s->kind = kind;
        return kind >= 0;
    }
    Py_ssize_t n = 0;
    PyObject **items = fdl_items(a, &n);
    if (items == NULL || n != s->shape[depth]) return 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!fdl_survey(items[i], depth + 1, s)) return 0;
    return 1;
}

/* Writes a plain number as an element of `type`; 0 where its dtype is another's to choose, or the
   element cannot hold it. */
static inline int fdl_put_number(PyObject *a, int type, void *to)
{
    if (PyFloat_CheckExact(a)) {
        if (type == NPY_FLOAT)
            *(float *)to = (float)PyFloat_AS_DOUBLE(a);
        else if (type == NPY_DOUBLE)
            *(double *)to = PyFloat_AS_DOUBLE(a);
        else
            return 0;
        return 1;
    }
    if (!PyLong_CheckExact(a) && !PyBool_Check(a)) return 0;
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(a, &overflow);
    if (overflow) return 0;
    if (type == NPY_INT64)
        *(npy_int64 *)to = value;
    else if (type == NPY_INT32 && value == (npy_int32)value)
        *(npy_int32 *)to = (npy_int32)value;
    else if (type == NPY_UINT8 && value == (npy_uint8)value)
        *(npy_uint8 *)to = (npy_uint8)value;
    else if (type == NPY_BOOL && PyBool_Check(a))
        *(npy_bool *)to = value != 0;
    else if (value > 1LL << 53 || value < -(1LL << 53))
        return 0; /* a double would round it first */
    else if (type == NPY_FLOAT)
        *(float *)to = (float)value;
    else if (type == NPY_DOUBLE)
        *(double *)to = (double)value;
    else
        return 0;
    return 1;
}

static int fdl_put_nested(PyObject *a, int depth, const fdl_nested *s, int type, int item,
                          char **to)
{
    if (depth == s->ndim) {
        if (!fdl_put_number(a, type, *to)) return 0;
        *to += item;
        return 1;
    }
    Py_ssize_t n = 0;
    PyObject **items = fdl_items(a, &n);
    for (Py_ssize_t i = 0; i < n; i++)
        if (!fdl_put_nested(items[i], depth + 1, s, type, item, to)) return 0;
    return 1;
}

/* The array of a plain number or nested lists of them; None for anything else. `type`: of the
   elements; -1: `floating` if there are floats, else int64, or bool. */
static PyObject *fdl_array_of(PyObject *data, int type, int floating)
{
    fdl_nested s = {0};
    Py_ssize_t n = 0;
    PyObject **items;
    for (PyObject *a = data; (items = fdl_items(a, &n)) != NULL; a = items[0]) {
        if (n == 0 || s.ndim == FDL_DIMS) Py_RETURN_NONE;
        s.shape[s.ndim++] = n;
    }
    if (!fdl_survey(data, 0, &s)) Py_RETURN_NONE;
    if (type < 0) type = s.kind == 2 ? floating : s.kind == 1 ? NPY_INT64 : NPY_BOOL;
    if (type > NPY_DOUBLE) Py_RETURN_NONE; /* none that fdl_put_number knows */
    PyObject *y = PyArray_SimpleNew(s.ndim, s.shape, type);
    if (y == NULL) return NULL;
    char *to = PyArray_BYTES((PyArrayObject *)y);
    if (fdl_put_nested(data, 0, &s, type, (int)PyArray_ITEMSIZE((PyArrayObject *)y), &to)) return y;
    Py_DECREF(y);
    Py_RETURN_NONE;
}

/* A plain number as a 0-d array of `type`; None if it is none, or `type` does not hold it. */
static PyObject *fdl_box_of(PyObject *number, int type)
{
    union {
        npy_int64 whole;
        double real;
    } room;
    if (!fdl_put_number(number, type, &room)) Py_RETURN_NONE;
    PyObject *y = PyArray_SimpleNew(0, NULL, type);
    if (y != NULL) {
        PyArrayObject *box = (PyArrayObject *)y;
        memcpy(PyArray_DATA(box), &room, (size_t)PyArray_ITEMSIZE(box)); /* 1, 4 or 8 bytes */
    }
    return y;
}

/* A new array of `type` with a plain number at every `step`-th place before `most`, else 0; with
   whatever the memory held if it is None. None as from fdl_box_of. */
static PyObject *fdl_filled(const fdl_layout *l, PyObject *number, int type, npy_intp step,
                            npy_intp most)
{
    union {
        npy_int64 whole;
        double real;
    } room;
    if (number == Py_None ? type < NPY_BOOL || type > NPY_DOUBLE
                          : !fdl_put_number(number, type, &room))
        Py_RETURN_NONE;
    PyObject *y = PyArray_SimpleNew(l->ndim, (npy_intp *)l->shape, type);
    if (y == NULL || number == Py_None) return y;
    char *to = PyArray_BYTES((PyArrayObject *)y);
    npy_intp size = PyArray_SIZE((PyArrayObject *)y), item = PyArray_ITEMSIZE((PyArrayObject *)y);
    if (step > 1) memset(to, 0, (size_t)(size * item));
    if (most > size) most = size;
    if (item == 4)
        for (npy_intp i = 0; i < most; i += step) memcpy(to + 4 * i, &room, 4);
    else if (item == 8)
        for (npy_intp i = 0; i < most; i += step) memcpy(to + 8 * i, &room, 8);
    else /* a byte */
        for (npy_intp i = 0; i < most; i += step) to[i] = *(char *)&room;
    return y;
}

/* start, start + step, ... below `end`, plain numbers, at most `most` of them; `type` -1: int64, or
   `floating` if one is a float. None where there are none, or numbers far from 0. */
static PyObject *fdl_steps(PyObject *start, PyObject *end, PyObject *step, int type, int floating,
                           npy_intp most)
{
    const double far = 1e15; /* up to here, doubles are exact */
    double a, b, by;
    int whole = PyLong_CheckExact(start) && PyLong_CheckExact(end) && PyLong_CheckExact(step);
    if (PyBool_Check(start) || PyBool_Check(end) || PyBool_Check(step) ||
        !fdl_put_number(start, NPY_DOUBLE, &a) || !fdl_put_number(end, NPY_DOUBLE, &b) ||
        !fdl_put_number(step, NPY_DOUBLE, &by))
        Py_RETURN_NONE;
    if (type < 0) type = whole ? NPY_INT64 : floating;
    if (!(fabs(a) < far && fabs(b) < far && fabs(by) < far) || by == 0 ||
        (type != NPY_FLOAT && type != NPY_DOUBLE && (type != NPY_INT64 || !whole)))
        Py_RETURN_NONE;
    double length = ceil((b - a) / by);
    if (!(length > 0 && length <= (double)most)) Py_RETURN_NONE;
    npy_intp count = (npy_intp)length;
    PyObject *y = PyArray_SimpleNew(1, &count, type);
    if (y == NULL) return NULL;
    void *to = PyArray_DATA((PyArrayObject *)y);
    for (npy_intp i = 0; i < count; i++) {
        double along = (double)i * by, value = a + along;
        if (type == NPY_FLOAT)
            ((float *)to)[i] = (float)value;
        else if (type == NPY_DOUBLE)
            ((double *)to)[i] = value;
        else
            ((npy_int64 *)to)[i] = (npy_int64)value;
    }
    return y;
}

/* `count` numbers, two or more, evenly from `start` to `end`, plain numbers; None for a type that
   is not real, for numbers far from 0, and for equal ones. */
static PyObject *fdl_spaced(PyObject *start, PyObject *end, npy_intp count, int type)
{
    const double large = 1e30; /* up to here, nothing overflows */
    double a, b;
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || !fdl_put_number(start, NPY_DOUBLE, &a) ||
        !fdl_put_number(end, NPY_DOUBLE, &b) || !(a > -large && a < large && b > -large &&
        b < large && a != b))
        Py_RETURN_NONE;
    PyObject *y = PyArray_SimpleNew(1, &count, type);
    if (y == NULL) return NULL;
    void *to = PyArray_DATA((PyArrayObject *)y);
    double step = (b - a) / (double)(count - 1);
    for (npy_intp i = 0; i < count - 1; i++) {
        double value = (double)(int)i * step + a;
        if (type == NPY_FLOAT)
            ((float *)to)[i] = (float)value;
        else
            ((double *)to)[i] = value;
    }
    if (type == NPY_FLOAT)
        ((float *)to)[count - 1] = (float)b;
    else
        ((double *)to)[count - 1] = b;
    return y;
}

/* Replace plain numbers among `arrays`, a new tuple, by 0-d arrays of the dtype of the first array
   that is not of the type `aside`. */
static int fdl_box_beside(PyObject *arrays, int aside)
{
    int type = -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); i++) {
        PyObject *a = PyTuple_GET_ITEM(arrays, i), *box;
        if (PyArray_CheckExact(a)) {
            int t = PyArray_TYPE((PyArrayObject *)a);
            if (type < 0 && t != aside) type = t;
        } else if (type >= 0 && !PyBool_Check(a)) {
            if ((box = fdl_box_of(a, type)) == NULL) return -1;
            if (box == Py_None) {
                Py_DECREF(box);
                continue;
            }
            PyTuple_SET_ITEM(arrays, i, box);
            Py_DECREF(a);
        }
    }
    return 0;
}

/* to[...] = from, arrays of one dtype. 0 if the shapes do not broadcast, -1 with an exception. */
static int fdl_assign(PyObject *to, PyObject *from)
{
    PyArrayObject *y = (PyArrayObject *)to, *x = (PyArrayObject *)from;
    int lead = PyArray_NDIM(y) - PyArray_NDIM(x);
    int alike = lead == 0, in_order = PyArray_IS_C_CONTIGUOUS(y);
    if (lead < 0) return 0;
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        npy_intp n = PyArray_DIM(x, d);
        if (n != PyArray_DIM(y, d + lead)) {
            alike = 0;
            if (n != 1) return 0;
        }
    }
    npy_intp item = PyArray_ITEMSIZE(y), n = PyArray_SIZE(y);
    if (in_order && alike && PyArray_IS_C_CONTIGUOUS(x)) {
        memmove(PyArray_DATA(y), PyArray_DATA(x), (size_t)(n * item));
        return 1;
    }
    if (in_order && PyArray_NDIM(x) == 0 && PyArray_ISALIGNED(y) && (item == 4 || item == 8)) {
        if (item == 4) {
            npy_uint32 bits, *p = (npy_uint32 *)PyArray_DATA(y);
            memcpy(&bits, PyArray_DATA(x), 4);
            for (npy_intp i = 0; i < n; i++) p[i] = bits;
        } else {
            npy_uint64 bits, *p = (npy_uint64 *)PyArray_DATA(y);
            memcpy(&bits, PyArray_DATA(x), 8);
            for (npy_intp i = 0; i < n; i++) p[i] = bits;
        }
        return 1;
    }
    return PyArray_CopyInto(y, x) < 0 ? -1 : 1;
}

/* Do all numbers of a C-ordered array of int64 lie in [low, high)? */
static int fdl_within(PyObject *a, Py_ssize_t low, Py_ssize_t high)
{
    PyArrayObject *x = (PyArrayObject *)a;
    const npy_int64 *p = (const npy_int64 *)PyArray_DATA(x);
    npy_intp n = PyArray_SIZE(x), outside = 0;
    for (npy_intp i = 0; i < n; i++) outside |= (p[i] < low) | (p[i] >= high);
    return !outside;
}

/* A C-ordered array of int64? */
static inline int fdl_is_places(PyObject *a)
{
    return PyArray_CheckExact(a) && PyArray_TYPE((PyArrayObject *)a) == NPY_INT64 &&
           PyArray_ISCARRAY_RO((PyArrayObject *)a);
}

static inline int fdl_is_truth(PyObject *a) { return PyArray_TYPE((PyArrayObject *)a) == NPY_BOOL; }

/* The sum of the elements, few, of a C-ordered array of int64 or bools, as an array; None of
   another. */
static PyObject *fdl_count(PyObject *a)
{
    PyArrayObject *x = (PyArrayObject *)a;
    npy_intp n = PyArray_SIZE(x);
    npy_uint64 sum = 0;
    if (!PyArray_ISCARRAY_RO(x) || n > 1 << 16) Py_RETURN_NONE;
    if (PyArray_TYPE(x) == NPY_INT64) {
        const npy_uint64 *p = (const npy_uint64 *)PyArray_DATA(x);
        for (npy_intp i = 0; i < n; i++) sum += p[i];
    } else if (PyArray_TYPE(x) == NPY_BOOL) {
        const npy_bool *p = (const npy_bool *)PyArray_DATA(x);
        for (npy_intp i = 0; i < n; i++) sum += p[i] != 0;
    } else
        Py_RETURN_NONE;
    PyObject *y = PyArray_SimpleNew(0, NULL, NPY_INT64);
    if (y != NULL) *(npy_uint64 *)PyArray_DATA((PyArrayObject *)y) = sum;
    return y;
}

/* Do two arrays have one shape and equal elements? -1 where that is left to NumPy: others than
   C-ordered arrays of one dtype of those here. */
static int fdl_equal(PyObject *a, PyObject *b)
{
    PyArrayObject *x = (PyArrayObject *)a, *y = (PyArrayObject *)b;
    int type = PyArray_TYPE(x);
    if (type != PyArray_TYPE(y) || !PyArray_ISCARRAY_RO(x) || !PyArray_ISCARRAY_RO(y)) return -1;
    if (!PyArray_SAMESHAPE(x, y)) return 0;
    npy_intp n = PyArray_SIZE(x);
    const void *p = PyArray_DATA(x), *q = PyArray_DATA(y);
    if (PyTypeNum_ISINTEGER(type) || type == NPY_BOOL) return memcmp(p, q, PyArray_NBYTES(x)) == 0;
    if (type == NPY_FLOAT) {
        for (npy_intp i = 0; i < n; i++)
            if (((const float *)p)[i] != ((const float *)q)[i]) return 0;
    } else if (type == NPY_DOUBLE) {
        for (npy_intp i = 0; i < n; i++)
            if (((const double *)p)[i] != ((const double *)q)[i]) return 0;
    } else
        return -1;
    return 1;
}

/* Is any of the bools of a C-ordered array true, or false? */
static int fdl_finds(PyObject *a, int truth)
{
    PyArrayObject *x = (PyArrayObject *)a;
    const char *p = PyArray_BYTES(x);
    size_t n = (size_t)PyArray_SIZE(x);
    if (n == 0) return 0;
    if (!truth) return memchr(p, 0, n) != NULL;
    return p[0] != 0 || memcmp(p, p + 1, n - 1) != 0;
}

/* The same along one dimension: is any true (`truth` 1), or are all (0)? */
static PyObject *fdl_finds_along(PyObject *a, int dim, int keepdim, int truth)
{
    PyArrayObject *x = (PyArrayObject *)a;
    npy_intp shape[FDL_DIMS], outer = 1, n = PyArray_DIM(x, dim), inner = 1;
    int kept = 0;
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        if (d < dim) outer *= PyArray_DIM(x, d);
        if (d > dim) inner *= PyArray_DIM(x, d);
        if (d != dim || keepdim) shape[kept++] = d == dim ? 1 : PyArray_DIM(x, d);
    }
    PyObject *y = PyArray_SimpleNew(kept, shape, NPY_BOOL);
    if (y == NULL) return NULL;
    npy_bool *to = (npy_bool *)PyArray_DATA((PyArrayObject *)y);
    const npy_bool *p = (const npy_bool *)PyArray_DATA(x);
    memset(to, !truth, (size_t)(outer * inner));
    for (npy_intp o = 0; o < outer; o++, to += inner)
        for (npy_intp k = 0; k < n; k++, p += inner)
            for (npy_intp i = 0; i < inner; i++)
                if ((p[i] != 0) == truth) to[i] = (npy_bool)truth;
    return y;
}

static inline int fdl_is_writable(PyObject *a)
{
    return !PyArray_Check(a) || PyArray_ISWRITEABLE((PyArrayObject *)a);
}

/* callable(*args, **kwargs) inside `quiet`, a context where NumPy's floating-point warnings are
   off: entering one costs a fifth of setting a context variable. NULL with an exception set on
   failure. */
static PyObject *fdl_call_in(PyObject *quiet, PyObject *callable, PyObject *args, PyObject *kwargs)
{
    if (PyContext_Enter(quiet) < 0) return NULL;
    PyObject *y = PyObject_Call(callable, args, kwargs);
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *error = PyErr_GetRaisedException(); /* NULL when there is none */
    PyContext_Exit(quiet);
    if (error != NULL) PyErr_SetRaisedException(error);
#else
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyContext_Exit(quiet);
    PyErr_Restore(type, value, trace);
#endif
    return y;
}

/* Cython enters binary operators into the type as methods, for which a Python subclass gets slots
   that look the method up again. Replace them by slot wrappers, which subclasses inherit. */
static int fdl_wrap_slots(PyTypeObject *type)
{
    static const char *const names[] = {"__add__",      "__sub__", "__mul__",    "__truediv__",
                                        "__floordiv__", "__mod__", "__matmul__", "__and__",
                                        "__or__",       "__xor__", "__lshift__", "__rshift__"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *model = PyObject_GetAttrString((PyObject *)&PyArray_Type, names[i]), *wrapper;
        if (model == NULL) return -1;
        if (Py_IS_TYPE(model, &PyWrapperDescr_Type)) {
            struct wrapperbase *base = ((PyWrapperDescrObject *)model)->d_base;
            size_t offset = (size_t)base->offset - offsetof(PyHeapTypeObject, as_number);
            wrapper =
                PyDescr_NewWrapper(type, base, *(void **)((char *)type->tp_as_number + offset));
            if (wrapper == NULL || PyDict_SetItemString(type->tp_dict, names[i], wrapper) < 0) {
                Py_XDECREF(wrapper);
                Py_DECREF(model);
                return -1;
            }
            Py_DECREF(wrapper);
        }
        Py_DECREF(model);
    }
    PyType_Modified(type);
    return 0;
}

/* Primitives as attributes of a class are methods: `x.exp()` calls `exp(x)` with no bound object
   between. */
static void fdl_is_method(PyTypeObject *type) { type->tp_flags |= Py_TPFLAGS_METHOD_DESCRIPTOR; }

static inline int fdl_is_operand(PyObject *a)
{
    return PyFloat_Check(a) || PyLong_Check(a) || PyComplex_Check(a) || PyArray_Check(a) ||
           PyArray_IsScalar(a, Generic);
}

#endif
