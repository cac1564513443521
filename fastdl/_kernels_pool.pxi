# Pooling: included by _kernels.pyx.
#
# A geometry is a sequence of 17 integers in fdl_pool's order: planes, h, w, oh, ow, kh, kw,
# stride_h, stride_w, pad_h, pad_w, dil_h, dil_w, pad_bottom, pad_right, count_include_pad,
# divisor (0: the window's size decides).
#
# `out` is written instead of a new array: C-ordered, of the result's shape and dtype, sharing no
# memory with the arguments.
from libc.stdint cimport int32_t, uint8_t

POOL_VARIANTS = ("naive", "rows", "threaded")


cdef int windows_hold_elements(
    int64_t out, int64_t stride, int64_t pad, int64_t dil, int64_t k, int64_t size
) noexcept nogil:
    """Whether each of `out` windows along one axis contains an index of [0, size)."""
    cdef int64_t i, start, first
    for i in range(out):
        start = i * stride - pad
        first = start if start >= 0 else start + (-start + dil - 1) // dil * dil
        if first >= size or first > start + (k - 1) * dil:
            return 0
        if start >= 0 and (out - 1) * stride - pad < size:     # so do all later ones
            return 1
    return 1


cdef int read_pool(geom, fdl_pool *g, str where) except -1:
    cdef int64_t most = 1 << 29                                # products of two fit in int64_t
    try:
        (
            g.planes, g.h, g.w, g.oh, g.ow, g.kh, g.kw, g.stride_h, g.stride_w, g.pad_h, g.pad_w,
            g.dil_h, g.dil_w, g.pad_bottom, g.pad_right, g.count_include_pad, g.divisor
        ) = geom
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{where}: geom must be 17 integers, planes ... divisor, got {geom!r}"
        ) from error
    if (
        min(g.planes, g.h, g.w, g.oh, g.ow) < 0
        or min(g.kh, g.kw, g.stride_h, g.stride_w, g.dil_h, g.dil_w) < 1
        or min(g.pad_h, g.pad_w, g.pad_bottom, g.pad_right) < 0
        or max(g.h, g.w, g.oh, g.ow, g.stride_h, g.stride_w) > most
        or max(g.pad_h, g.pad_w, g.pad_bottom, g.pad_right) > most
        or max(g.kh, g.kw, g.dil_h, g.dil_w) > most
        or max(g.kh * g.kw, g.kh * g.dil_h, g.kw * g.dil_w) > most
    ):
        raise ValueError(f"{where}: geom has a size out of range: {tuple(geom)}")
    if not (
        windows_hold_elements(g.oh, g.stride_h, g.pad_h, g.dil_h, g.kh, g.h)
        and windows_hold_elements(g.ow, g.stride_w, g.pad_w, g.dil_w, g.kw, g.w)
    ):
        raise ValueError(f"{where}: geom has windows wholly in the padding: {tuple(geom)}")
    return 0


cdef int read_avg_pool(geom, fdl_pool *g, str where) except -1:
    read_pool(geom, g, where)
    if g.dil_h != 1 or g.dil_w != 1:
        raise ValueError(f"{where}: average pooling has no dilation, got ({g.dil_h}, {g.dil_w})")
    return 0


cdef bint in_rows(const fdl_pool *g) noexcept:
    """Are planes single rows, so that arrays may as well be (..., w)?"""
    return g.h == 1 and g.oh == 1


cdef int check_planes(
    cnp.ndarray x, const fdl_pool *g, int64_t h, int64_t w, str where, str argument
) except -1:
    """x must be a C-contiguous (..., h, w) with g.planes planes."""
    cdef int ndim = cnp.PyArray_NDIM(x), lead = ndim - 1 if in_rows(g) else ndim - 2, i
    cdef int64_t product = 1
    for i in range(lead):
        product *= cnp.PyArray_DIM(x, i)
    if (
        ndim < 2
        or product != g.planes
        or (lead == ndim - 2 and cnp.PyArray_DIM(x, lead) != h)
        or cnp.PyArray_DIM(x, ndim - 1) != w
        or not cnp.PyArray_ISCARRAY_RO(x)
    ):
        raise ValueError(
            f"{where}: {argument} must be C-contiguous, of shape (..., {h}, {w}) with {g.planes} "
            f"planes, got {np.shape(x)}"
        )
    return 0


cdef cnp.ndarray planes_out(
    out, cnp.ndarray like, bint rows, int64_t h, int64_t w, int typenum, str where
):
    """`out`, or a new array, with the leading dimensions of `like` and planes of h x w; with `rows`
    those may also be (..., w)."""
    cdef cnp.npy_intp dims[32]
    cdef int ndim = cnp.PyArray_NDIM(like), i
    if ndim > 32:
        raise ValueError(f"{where}: arrays of at most 32 dimensions are supported, got {ndim}")
    for i in range(ndim - 1):
        dims[i] = cnp.PyArray_DIM(like, i)
    if not rows:
        dims[ndim - 2] = h
    dims[ndim - 1] = w
    return output(out, ndim, dims, typenum, where)


cdef int taps_type(const fdl_pool *g) noexcept:
    return cnp.NPY_UINT8 if g.kh * g.kw <= 256 else cnp.NPY_INT32


cdef int check_taps(cnp.ndarray taps, const fdl_pool *g, str where) except -1:
    """Taps must have the outputs' shape and the geometry's dtype; the kernels look at their values,
    which `finish_taps` reports."""
    if cnp.PyArray_TYPE(taps) != taps_type(g):
        name = "uint8" if g.kh * g.kw <= 256 else "int32"
        raise TypeError(f"{where}: taps must be {name} for {g.kh * g.kw} taps, got {taps.dtype}")
    check_planes(taps, g, g.oh, g.ow, where, "taps")
    return 0


cdef int finish_taps(int status, const fdl_pool *g, str where) except -1:
    if status == FDL_OUTSIDE:
        raise ValueError(f"{where}: taps must lie in [0, {g.kh * g.kw}), the window's positions")
    return finish(status, where)


def max_pool2d(
    cnp.ndarray x not None, geom, *, out=None, variant="threaded", isa=None, int threads=0
):
    """Max pooling of x (..., h, w): the maxima y and the winners' `taps`, both (..., oh, ow).

    A tap is `row * kw + column` within the window, uint8 for windows of up to 256 elements, else
    int32. The first of equal maxima wins, and the last NaN. `out`: (y, taps).
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "max_pool2d", "x")
    cdef int v = variant_of("max_pool2d", POOL_VARIANTS, variant)
    cdef int n = threads_of(threads), status
    cdef fdl_pool g
    cdef cnp.ndarray y, taps
    read_pool(geom, &g, "max_pool2d")
    check_planes(x, &g, g.h, g.w, "max_pool2d", "x")
    y_out, taps_out = (None, None) if out is None else out
    y = planes_out(y_out, x, in_rows(&g), g.oh, g.ow, cnp.PyArray_TYPE(x), "max_pool2d")
    taps = planes_out(taps_out, x, in_rows(&g), g.oh, g.ow, taps_type(&g), "max_pool2d")
    with nogil:
        status = kernels.max_forward[v](&g, data_of(x), data_of(y), data_of(taps), n)
    finish(status, "max_pool2d")
    return y, taps


def max_pool2d_scatter(
    cnp.ndarray dy not None, cnp.ndarray taps not None, geom, *, out=None, variant="threaded",
    isa=None, int threads=0
):
    """The gradient of max pooling, (..., h, w): each dy (..., oh, ow) added where its tap points.

    A tap that points into the padding, which `max_pool2d` never makes, adds nothing.
    """
    cdef const fdl_kernels *kernels = table_of(dy, isa, "max_pool2d_scatter", "dy")
    cdef int v = variant_of("max_pool2d_scatter", POOL_VARIANTS, variant)
    cdef int n = threads_of(threads), status
    cdef fdl_pool g
    cdef cnp.ndarray dx
    read_pool(geom, &g, "max_pool2d_scatter")
    check_planes(dy, &g, g.oh, g.ow, "max_pool2d_scatter", "dy")
    check_taps(taps, &g, "max_pool2d_scatter")
    dx = planes_out(out, dy, in_rows(&g), g.h, g.w, cnp.PyArray_TYPE(dy), "max_pool2d_scatter")
    with nogil:
        status = kernels.max_scatter[v](&g, data_of(dy), data_of(taps), data_of(dx), n)
    finish_taps(status, &g, "max_pool2d_scatter")
    return dx


def max_pool2d_gather(
    cnp.ndarray x not None, cnp.ndarray taps not None, geom, *, out=None, isa=None, int threads=0
):
    """The elements of x (..., h, w) at `taps` (..., oh, ow): the adjoint of `max_pool2d_scatter`.

    A tap that points into the padding gives 0.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "max_pool2d_gather", "x")
    cdef int n = threads_of(threads), status
    cdef fdl_pool g
    cdef cnp.ndarray y
    read_pool(geom, &g, "max_pool2d_gather")
    check_planes(x, &g, g.h, g.w, "max_pool2d_gather", "x")
    check_taps(taps, &g, "max_pool2d_gather")
    y = planes_out(out, x, in_rows(&g), g.oh, g.ow, cnp.PyArray_TYPE(x), "max_pool2d_gather")
    with nogil:
        status = kernels.max_gather(&g, data_of(x), data_of(taps), data_of(y), n)
    finish_taps(status, &g, "max_pool2d_gather")
    return y


def positions_from_taps(cnp.ndarray taps not None, geom):
    """Taps (..., oh, ow) as PyTorch has them: int64 positions `row * w + column` in the plane."""
    cdef fdl_pool g
    cdef cnp.ndarray positions
    cdef int64_t *out
    cdef int64_t p, i, j, row, col, t, k = 0
    read_pool(geom, &g, "positions_from_taps")
    check_taps(taps, &g, "positions_from_taps")
    positions = planes_out(
        None, taps, in_rows(&g), g.oh, g.ow, cnp.NPY_INT64, "positions_from_taps"
    )
    out = <int64_t *> cnp.PyArray_DATA(positions)
    cdef int narrow = g.kh * g.kw <= 256, status = FDL_OK
    cdef const uint8_t *t8 = <const uint8_t *> cnp.PyArray_DATA(taps)
    cdef const int32_t *t32 = <const int32_t *> cnp.PyArray_DATA(taps)
    with nogil:
        for p in range(g.planes):
            for i in range(g.oh):
                for j in range(g.ow):
                    t = t8[k] if narrow else t32[k]
                    if t < 0 or t >= g.kh * g.kw:
                        status = FDL_OUTSIDE
                    row = i * g.stride_h - g.pad_h + t // g.kw * g.dil_h
                    col = j * g.stride_w - g.pad_w + t % g.kw * g.dil_w
                    out[k] = row * g.w + col
                    k += 1
    finish_taps(status, &g, "positions_from_taps")
    return positions


def avg_pool2d(
    cnp.ndarray x not None, geom, *, out=None, variant="threaded", isa=None, int threads=0
):
    """Average pooling of x (..., h, w): (..., oh, ow)."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "avg_pool2d", "x")
    cdef int v = variant_of("avg_pool2d", POOL_VARIANTS, variant)
    cdef int n = threads_of(threads), status
    cdef fdl_pool g
    cdef cnp.ndarray y
    read_avg_pool(geom, &g, "avg_pool2d")
    check_planes(x, &g, g.h, g.w, "avg_pool2d", "x")
    y = planes_out(out, x, in_rows(&g), g.oh, g.ow, cnp.PyArray_TYPE(x), "avg_pool2d")
    with nogil:
        status = kernels.avg_forward[v](&g, data_of(x), data_of(y), n)
    finish(status, "avg_pool2d")
    return y


def avg_pool2d_backward(
    cnp.ndarray dy not None, geom, *, out=None, variant="threaded", isa=None, int threads=0
):
    """The gradient of average pooling: dy (..., oh, ow) spread over the windows, (..., h, w)."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "avg_pool2d_backward", "dy")
    cdef int v = variant_of("avg_pool2d_backward", POOL_VARIANTS, variant)
    cdef int n = threads_of(threads), status
    cdef fdl_pool g
    cdef cnp.ndarray dx
    read_avg_pool(geom, &g, "avg_pool2d_backward")
    check_planes(dy, &g, g.oh, g.ow, "avg_pool2d_backward", "dy")
    dx = planes_out(out, dy, in_rows(&g), g.h, g.w, cnp.PyArray_TYPE(dy), "avg_pool2d_backward")
    with nogil:
        status = kernels.avg_backward[v](&g, data_of(dy), data_of(dx), n)
    finish(status, "avg_pool2d_backward")
    return dx


# ---- uneven windows: a geometry is the shape of x and (oh, ow) -----------------------------------


cdef int read_cells(
    cnp.ndarray x, object h, object w, object oh, object ow, fdl_cells *g, str where, str argument
) except -1:
    """x (..., h, w) or (..., oh, ow), whose leading dimensions are the planes."""
    cdef int64_t most = 1 << 29
    cdef int i
    try:
        g.h, g.w, g.oh, g.ow = h, w, oh, ow
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{where}: sizes must be ints, got {(h, w)} and {(oh, ow)}") from error
    if not (
        1 <= g.h <= most and 1 <= g.w <= most and g.h * g.w < 1 << 31
        and 0 <= g.oh <= most and 0 <= g.ow <= most
    ):
        raise ValueError(f"{where}: a size is out of range: {(h, w)} to {(oh, ow)}")
    if not cnp.PyArray_ISCARRAY_RO(x):
        raise ValueError(f"{where}: {argument} must be C-contiguous, got {np.shape(x)}")
    g.planes = 1
    for i in range(cnp.PyArray_NDIM(x) - 2):
        g.planes *= cnp.PyArray_DIM(x, i)
    return 0


cdef tuple plane_of(cnp.ndarray x, str where, str argument):
    """The last two sizes of x."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    if ndim < 2:
        raise ValueError(f"{where}: {argument} must have 2 dimensions or more, got {np.shape(x)}")
    return cnp.PyArray_DIM(x, ndim - 2), cnp.PyArray_DIM(x, ndim - 1)


def adaptive_max_pool2d(
    cnp.ndarray x not None, oh, ow, *, out=None, isa=None, int threads=0
):
    """Maxima of oh x ow cells of x (..., h, w), and their int64 positions `row * w + column`.

    Both (..., oh, ow). Cell i of n elements takes floor(i n / oh) to ceil((i + 1) n / oh) - 1. The
    first of equal maxima wins, and the last NaN. `out`: (y, positions).
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "adaptive_max_pool2d", "x")
    cdef int n = threads_of(threads), status
    cdef fdl_cells g
    cdef cnp.ndarray y, positions
    h, w = plane_of(x, "adaptive_max_pool2d", "x")
    read_cells(x, h, w, oh, ow, &g, "adaptive_max_pool2d", "x")
    y_out, positions_out = (None, None) if out is None else out
    y = planes_out(y_out, x, False, g.oh, g.ow, cnp.PyArray_TYPE(x), "adaptive_max_pool2d")
    positions = planes_out(
        positions_out, x, False, g.oh, g.ow, cnp.NPY_INT64, "adaptive_max_pool2d"
    )
    with nogil:
        status = kernels.cells_max(
            &g, data_of(x), data_of(y), <int64_t *> data_of(positions), n
        )
    finish(status, "adaptive_max_pool2d")
    return y, positions


def adaptive_avg_pool2d(cnp.ndarray x not None, oh, ow, *, out=None, isa=None, int threads=0):
    """Means of oh x ow cells of x (..., h, w): (..., oh, ow); cells as `adaptive_max_pool2d`."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "adaptive_avg_pool2d", "x")
    cdef int n = threads_of(threads), status
    cdef fdl_cells g
    cdef cnp.ndarray y
    h, w = plane_of(x, "adaptive_avg_pool2d", "x")
    read_cells(x, h, w, oh, ow, &g, "adaptive_avg_pool2d", "x")
    y = planes_out(out, x, False, g.oh, g.ow, cnp.PyArray_TYPE(x), "adaptive_avg_pool2d")
    with nogil:
        status = kernels.cells_avg(&g, data_of(x), data_of(y), n)
    finish(status, "adaptive_avg_pool2d")
    return y


def adaptive_avg_pool2d_backward(
    cnp.ndarray dy not None, h, w, *, out=None, isa=None, int threads=0
):
    """The gradient of `adaptive_avg_pool2d`: dy (..., oh, ow) spread over cells of (..., h, w)."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "adaptive_avg_pool2d_backward", "dy")
    cdef int n = threads_of(threads), status
    cdef fdl_cells g
    cdef cnp.ndarray dx
    oh, ow = plane_of(dy, "adaptive_avg_pool2d_backward", "dy")
    read_cells(dy, h, w, oh, ow, &g, "adaptive_avg_pool2d_backward", "dy")
    dx = planes_out(out, dy, False, g.h, g.w, cnp.PyArray_TYPE(dy), "adaptive_avg_pool2d_backward")
    with nogil:
        status = kernels.cells_avg_backward(&g, data_of(dy), data_of(dx), n)
    finish(status, "adaptive_avg_pool2d_backward")
    return dx


# ---- positions: planes are the rows of 2-d arrays ------------------------------------------------


cdef int check_positions(cnp.ndarray x, cnp.ndarray at, int64_t n, str where) except -1:
    """Both must be C-contiguous with as many rows, the positions int64 in [0, n)."""
    cdef int bad
    cdef const int64_t *p
    need_rows(x, where, "x")
    if cnp.PyArray_TYPE(at) != cnp.NPY_INT64:
        raise TypeError(f"{where}: positions must be int64, got {at.dtype}")
    need_rows(at, where, "positions")
    if cnp.PyArray_DIM(at, 0) != cnp.PyArray_DIM(x, 0):
        raise ValueError(
            f"{where}: positions must have {np.shape(x)[0]} planes, got {np.shape(at)}"
        )
    p = <const int64_t *> cnp.PyArray_DATA(at)
    with nogil:
        bad = fdl_outside(p, cnp.PyArray_SIZE(at), 0, n)
    if bad:
        raise ValueError(f"{where}: positions must lie in [0, {n})")
    return 0


def plane_gather(
    cnp.ndarray x not None, cnp.ndarray positions not None, *, out=None, isa=None, int threads=0
):
    """y[p, j] = x[p, positions[p, j]]: x (planes, n), positions (planes, m) -> (planes, m)."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "plane_gather", "x")
    cdef int n = threads_of(threads), status
    cdef int64_t planes, size, m
    cdef cnp.ndarray y
    need_rows(x, "plane_gather", "x")
    check_positions(x, positions, cnp.PyArray_DIM(x, 1), "plane_gather")
    planes, size, m = np.shape(x)[0], np.shape(x)[1], np.shape(positions)[1]
    y = output(out, 2, cnp.PyArray_DIMS(positions), cnp.PyArray_TYPE(x), "plane_gather")
    with nogil:
        status = kernels.plane_gather(
            planes, size, m, data_of(x), <const int64_t *> data_of(positions), data_of(y), n
        )
    finish(status, "plane_gather")
    return y


def plane_scatter(
    cnp.ndarray x not None, cnp.ndarray positions not None, int64_t size, bint add=True, *,
    out=None, isa=None, int threads=0
):
    """x and positions (planes, m) -> y (planes, size), 0 where no position points.

    Equal positions add up, or with `add=False` the last of them stays.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "plane_scatter", "x")
    cdef int n = threads_of(threads), status
    cdef int64_t planes, m
    cdef cnp.npy_intp dims[2]
    cdef cnp.ndarray y
    if size < 0 or size > <int64_t> 1 << 59:
        raise ValueError(f"plane_scatter: size is out of range: {size}")
    check_positions(x, positions, size, "plane_scatter")
    planes, m = np.shape(x)[0], np.shape(x)[1]
    if np.shape(positions)[1] != m:
        raise ValueError(
            f"plane_scatter: positions must have shape {np.shape(x)}, got {np.shape(positions)}"
        )
    dims[0], dims[1] = planes, size
    y = output(out, 2, dims, cnp.PyArray_TYPE(x), "plane_scatter")
    with nogil:
        status = kernels.plane_scatter(
            planes, size, m, data_of(x), <const int64_t *> data_of(positions), data_of(y), add, n
        )
    finish(status, "plane_scatter")
    return y


def max_pool_windows(cnp.ndarray x not None, *, geom):
    """`max_pool2d` of an array in C order, as operations of the engine call it."""
    return max_pool2d(x, geom) if cnp.PyArray_ISCARRAY_RO(x) else NotImplemented


def avg_pool_windows(cnp.ndarray x not None, *, geom):
    """`avg_pool2d` likewise."""
    return avg_pool2d(x, geom) if cnp.PyArray_ISCARRAY_RO(x) else NotImplemented
