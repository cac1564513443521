# 2-d convolution: included by _kernels.pyx.

CONV_VARIANTS = tuple(fdl_conv_name(i).decode() for i in range(FDL_CONV_VARIANTS))
cdef tuple CONV_PASSES = ("forward", "grad_input", "grad_weight")

# Every size is below this, so that products of two stay far inside int64_t.
cdef int64_t CONV_SIZE_LIMIT = 2147483647


cdef int conv_geometry(object geom, fdl_conv *g, str where) except -1:
    """Fill `g` from 16 whole numbers in the order of csrc/fastdl.h; ValueError for nonsense."""
    cdef int64_t v[16]
    cdef Py_ssize_t i
    if len(geom) != 16:
        raise ValueError(f"{where}: geom must have 16 numbers, got {len(geom)}")
    for i in range(16):
        v[i] = geom[i]
        if v[i] < 0 or v[i] > CONV_SIZE_LIMIT:
            raise ValueError(f"{where}: geom: {v[i]} is negative or too large, in {tuple(geom)}")
    g.n, g.c, g.h, g.w, g.k, g.r, g.s = v[0], v[1], v[2], v[3], v[4], v[5], v[6]
    g.oh, g.ow, g.stride_h, g.stride_w, g.pad_h, g.pad_w = v[7], v[8], v[9], v[10], v[11], v[12]
    g.dil_h, g.dil_w, g.groups = v[13], v[14], v[15]
    g.ready = NULL
    if g.r < 1 or g.s < 1:
        raise ValueError(f"{where}: geom: the filter must not be empty, got {g.r} x {g.s}")
    if g.stride_h < 1 or g.stride_w < 1 or g.dil_h < 1 or g.dil_w < 1:
        raise ValueError(
            f"{where}: geom: strides and dilations must be positive, got "
            f"({g.stride_h}, {g.stride_w}) and ({g.dil_h}, {g.dil_w})"
        )
    if g.groups < 1 or g.c % g.groups or g.k % g.groups:
        raise ValueError(
            f"{where}: geom: groups must divide the channels, got {g.c} -> {g.k} "
            f"in {g.groups} groups"
        )
    return 0


cdef int conv_variant(str where, const fdl_kernels *kernels, int pass_, const fdl_conv *g,
                      variant) except -1:
    """The algorithm called `variant`, or chosen for "auto"; ValueError if it cannot compute `g`."""
    cdef int v
    if variant == "auto":
        return fdl_conv_choose(kernels, pass_, g, NULL)
    v = variant_of(where, CONV_VARIANTS + ("auto",), variant)
    if not fdl_conv_exists(kernels, pass_, v):
        names = [CONV_VARIANTS[i] for i in range(FDL_CONV_VARIANTS)
                 if fdl_conv_exists(kernels, pass_, i)]
        raise ValueError(f"{where}: variant {variant!r} does not compute this pass; those that do: "
                         f"{', '.join(names)}")
    if not fdl_conv_fits(v, g):
        raise ValueError(
            f"{where}: variant {variant!r} requires {fdl_conv_requires(v).decode()}, got "
            f"{g.r}x{g.s} filters for {g.c} -> {g.k} channels, stride "
            f"({g.stride_h}, {g.stride_w}), padding ({g.pad_h}, {g.pad_w}), dilation "
            f"({g.dil_h}, {g.dil_w}), groups {g.groups}"
        )
    return v


def conv_fits(str variant, geom, *, str direction="forward", dtype="float32", isa=None):
    """Whether `variant` can compute a pass ("forward", "grad_input", "grad_weight") of `geom`."""
    cdef const fdl_kernels *kernels = table_of(np.empty(0, dtype), isa, "conv_fits", "dtype")
    cdef int v = variant_of("conv_fits", CONV_VARIANTS, variant)
    cdef fdl_conv g
    conv_geometry(geom, &g, "conv_fits")
    return bool(fdl_conv_exists(kernels, CONV_PASSES.index(direction), v) and fdl_conv_fits(v, &g))


def conv_choice(geom, *, str direction="forward", dtype="float32", isa=None):
    """What variant="auto" means for a pass of `geom`: the variant's name, and the reason."""
    cdef const fdl_kernels *kernels = table_of(np.empty(0, dtype), isa, "conv_choice", "dtype")
    cdef fdl_conv g
    cdef const char *why = NULL
    conv_geometry(geom, &g, "conv_choice")
    v = fdl_conv_choose(kernels, CONV_PASSES.index(direction), &g, &why)
    return CONV_VARIANTS[v], why.decode()


def forbid_winograd(bint forbid):
    """Let variant="auto" not choose Winograd's algorithm, or choose it again."""
    fdl_forbid_winograd(forbid)


def winograd_forbidden():
    """Whether variant="auto" may not choose Winograd's algorithm."""
    return bool(fdl_winograd_forbidden())


cdef int conv_array(cnp.ndarray x, str where, str argument, int64_t a, int64_t b, int64_t c,
                    int64_t d) except -1:
    """x must be C-contiguous, aligned, and of shape (a, b, c, d)."""
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    if (cnp.PyArray_NDIM(x) != 4 or shape[0] != a or shape[1] != b or shape[2] != c or shape[3] != d
            or not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISBEHAVED_RO(x)):
        raise ValueError(
            f"{where}: {argument} must be C-contiguous of shape {(a, b, c, d)}, got {np.shape(x)}"
        )
    return 0


cdef cnp.ndarray conv_out(out, str where, cnp.ndarray p, cnp.ndarray q, int64_t a, int64_t b,
                          int64_t c, int64_t d):
    """`out`, checked, or a new array of shape (a, b, c, d); p and q: the operands."""
    cdef cnp.npy_intp shape[4]
    if out is None:
        shape[0], shape[1], shape[2], shape[3] = a, b, c, d
        return cnp.PyArray_EMPTY(4, shape, cnp.PyArray_TYPE(p), 0)
    same_dtype(p, out, where, "out")
    conv_array(out, where, "out", a, b, c, d)
    if not out.flags.writeable or np.may_share_memory(out, p) or np.may_share_memory(out, q):
        raise ValueError(f"{where}: out must be writable and share no memory with the operands")
    return out


@cython.final
cdef class ReadyFilters:
    """Filters w (k, c / groups, r, s) that do not change any more.

    `conv2d` takes them in place of an array. What its algorithm makes of filters before it can use
    them (csrc/conv/winograd.c) is then made by the first call, and kept: `nbytes` of it all.
    """
    cdef readonly cnp.ndarray w
    cdef dict made                      # (instruction set, variant, groups) -> array

    def __init__(self, cnp.ndarray w not None):
        self.w = np.ascontiguousarray(w)
        self.made = {}

    def __reduce__(self):
        return ReadyFilters, (self.w,)

    @property
    def nbytes(self):
        """Bytes of the filters and of what was made of them."""
        return self.w.nbytes + sum([u.nbytes for u in self.made.values()])

    cdef const void *ready(self, const fdl_kernels *kernels, int v, const fdl_conv *g) except? NULL:
        """What variant v makes of them; NULL if that is nothing."""
        cdef cnp.ndarray u
        cdef void *data
        if kernels.conv_ready[v] == NULL or not (g.k and g.c):
            return NULL
        key = kernels.isa, v, g.groups
        u = self.made.get(key)
        if u is None:
            size = kernels.conv_ready[v](g, cnp.PyArray_DATA(self.w), NULL)
            u = np.empty(size, self.w.dtype)
            data = cnp.PyArray_DATA(u)
            with nogil:
                kernels.conv_ready[v](g, cnp.PyArray_DATA(self.w), data)
            u = self.made.setdefault(key, u)    # another thread may use what it made meanwhile
        return cnp.PyArray_DATA(u)


def conv2d(cnp.ndarray x not None, w not None, bias, geom, *, out=None,
           variant="auto", isa=None, int threads=0):
    """Cross-correlation of x (n, c, h, w) with filters w (k, c / groups, r, s), plus bias (k).

    `bias` may be None. `geom`: the 16 numbers n, c, h, w, k, r, s, oh, ow, stride_h, stride_w,
    pad_h, pad_w (top, left), dil_h, dil_w, groups. Reads outside the image give zero, so bottom and
    right padding follow from oh and ow.
    Arrays are C-contiguous, all float32 or all float64; w may be `ReadyFilters`. `variant`: a name
    among CONV_VARIANTS, or "auto", which chooses by shape (csrc/conv/select.c). Returns
    y (n, k, oh, ow), `out` if given.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "conv2d", "x")
    cdef int n = threads_of(threads), v, status
    cdef fdl_conv g
    cdef cnp.ndarray y, b, filters
    cdef const void *bias_data = NULL
    filters = (<ReadyFilters>w).w if isinstance(w, ReadyFilters) else w
    conv_geometry(geom, &g, "conv2d")
    v = conv_variant("conv2d", kernels, FDL_CONV_FORWARD, &g, variant)
    same_dtype(x, filters, "conv2d", "w")
    conv_array(x, "conv2d", "x", g.n, g.c, g.h, g.w)
    conv_array(filters, "conv2d", "w", g.k, g.c // g.groups, g.r, g.s)
    if isinstance(w, ReadyFilters):
        g.ready = (<ReadyFilters>w).ready(kernels, v, &g)
    if bias is not None:
        b = bias
        same_dtype(x, b, "conv2d", "bias")
        need_contiguous(b, 1, "conv2d", "bias")
        if cnp.PyArray_DIM(b, 0) != g.k:
            raise ValueError(f"conv2d: bias must have {g.k} values, got {cnp.PyArray_DIM(b, 0)}")
        bias_data = cnp.PyArray_DATA(b)
    y = conv_out(out, "conv2d", x, filters, g.n, g.k, g.oh, g.ow)
    with nogil:
        status = kernels.conv_forward[v](
            &g, cnp.PyArray_DATA(x), cnp.PyArray_DATA(filters), bias_data, cnp.PyArray_DATA(y), n
        )
    finish(status, "conv2d")
    return y


def conv2d_grad_input(cnp.ndarray dy not None, cnp.ndarray w not None, geom, *, out=None,
                      variant="auto", isa=None, int threads=0):
    """dx (n, c, h, w): the gradient of `sum(conv2d(x, w) * dy)` in x, for dy (n, k, oh, ow).

    `geom`, `variant` and `out` as for `conv2d`. Also what transposed convolution computes.
    """
    cdef const fdl_kernels *kernels = table_of(dy, isa, "conv2d_grad_input", "dy")
    cdef int n = threads_of(threads), v, status
    cdef fdl_conv g
    cdef cnp.ndarray dx
    conv_geometry(geom, &g, "conv2d_grad_input")
    v = conv_variant("conv2d_grad_input", kernels, FDL_CONV_GRAD_INPUT, &g, variant)
    same_dtype(dy, w, "conv2d_grad_input", "w")
    conv_array(dy, "conv2d_grad_input", "dy", g.n, g.k, g.oh, g.ow)
    conv_array(w, "conv2d_grad_input", "w", g.k, g.c // g.groups, g.r, g.s)
    dx = conv_out(out, "conv2d_grad_input", dy, w, g.n, g.c, g.h, g.w)
    with nogil:
        status = kernels.conv_grad_input[v](
            &g, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(w), cnp.PyArray_DATA(dx), n
        )
    finish(status, "conv2d_grad_input")
    return dx


def conv2d_grad_weight(cnp.ndarray x not None, cnp.ndarray dy not None, geom, *, out=None,
                       variant="auto", isa=None, int threads=0):
    """dw (k, c / groups, r, s): the gradient of `sum(conv2d(x, w) * dy)` in w.

    x (n, c, h, w), dy (n, k, oh, ow); `geom`, `variant` and `out` as for `conv2d`.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "conv2d_grad_weight", "x")
    cdef int n = threads_of(threads), v, status
    cdef fdl_conv g
    cdef cnp.ndarray dw
    conv_geometry(geom, &g, "conv2d_grad_weight")
    v = conv_variant("conv2d_grad_weight", kernels, FDL_CONV_GRAD_WEIGHT, &g, variant)
    same_dtype(x, dy, "conv2d_grad_weight", "dy")
    conv_array(x, "conv2d_grad_weight", "x", g.n, g.c, g.h, g.w)
    conv_array(dy, "conv2d_grad_weight", "dy", g.n, g.k, g.oh, g.ow)
    dw = conv_out(out, "conv2d_grad_weight", x, dy, g.k, g.c // g.groups, g.r, g.s)
    with nogil:
        status = kernels.conv_grad_weight[v](
            &g, cnp.PyArray_DATA(x), cnp.PyArray_DATA(dy), cnp.PyArray_DATA(dw), n
        )
    finish(status, "conv2d_grad_weight")
    return dw


if os.environ.get("FASTDL_NO_WINOGRAD", "0") not in ("", "0"):
    forbid_winograd(True)
