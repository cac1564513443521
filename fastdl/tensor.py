"""class Tensor: the engine's TensorBase with PyTorch's methods. Methods are the functions of
`fastdl.ops`.
"""

import builtins
import copy

import numpy as np

from fastdl import _dtype, _engine, _printing
from fastdl._engine import TensorBase, tensor_of
from fastdl.autograd import gradients
from fastdl.ops import (
    activation,
    complex,
    copies,
    core,
    counting,
    creation,
    diagonal,
    distance,
    elementwise,
    exchange,
    factor,
    fft,
    index,
    join,
    linalg,
    matrices,
    naming,  # noqa: F401  (names nodes)
    order,
    piecewise,
    random,
    reduce,
    scatter,
    shape,
    sparse,
    special,
    split,
    statistics,
    storage,
    strided,
)


class Tensor(TensorBase):
    """An n-dimensional array with a gradient.

    Made by `tensor`, `zeros`, `randn` ...; `Tensor(2, 3)` and `Tensor([1, 2])` are PyTorch's old
    constructors: an uninitialised tensor of that shape, or these values, in the default dtype.
    """

    __slots__ = ("__dict__",)
    __module__ = "fastdl"  # so that print(type(x)) names the class as programs do
    __array_priority__ = 1000  # NumPy arrays and scalars leave `array * tensor` to us

    def __init__(self, *args, dtype=None, device=None):
        creation.checked_device(device)
        self.array = _legacy_array(args, _dtype.get_default_dtype() if dtype is None else dtype)

    # -- what it is

    @property
    def device(self):
        """Where the elements are."""
        return _dtype.CPU

    @property
    def is_cuda(self):
        """Is it on a GPU?"""
        return False

    layout = property(lambda self: _dtype.strided, doc="How it keeps elements: `strided`.")
    is_sparse = property(lambda self: False, doc="False: there are no sparse tensors.")
    is_cpu = property(lambda self: True, doc="Is it on the CPU?")
    name = property(lambda self: None, doc="None: an old field of PyTorch's tensors.")
    volatile = property(lambda self: False, doc="False: an old field of PyTorch's tensors.")
    itemsize = property(lambda self: self.array.itemsize, doc="Bytes of one element.")
    nbytes = property(lambda self: self.array.nbytes, doc="Bytes of all elements.")
    T = property(shape.reverse, doc="All dimensions in reverse order.")
    mT = property(shape.matrix_transpose, doc="The last two dimensions exchanged.")

    def where(self, condition, other):
        """The elements of this tensor where `condition` is true, those of `other` (a tensor or
        number) elsewhere; see `fastdl.where`.
        """
        return elementwise.where(condition, self, other)

    @property
    def H(self):
        """The conjugate transpose of a matrix."""
        if self.array.ndim not in (0, 2):
            raise RuntimeError(
                "tensor.H is only supported on matrices (2-D tensors). Got "
                f"{self.array.ndim}-D tensor. For batches of matrices, consider using tensor.mH"
            )
        return shape.adjoint(self) if self.array.ndim else complex.conj(self)

    @property
    def mH(self):
        """The conjugates, with the last two dimensions exchanged."""
        return shape.adjoint(self)

    @property
    def real(self):
        """The real parts, a view; the tensor itself if it is real."""
        return complex.real(self)

    @real.setter
    def real(self, value):
        complex.real(self).copy_(creation.as_tensor(value))

    @property
    def imag(self):
        """The imaginary parts, a view."""
        return complex.imag(self)

    @imag.setter
    def imag(self, value):
        complex.imag(self).copy_(creation.as_tensor(value))

    ndimension, nelement = TensorBase.dim, TensorBase.numel

    def element_size(self):
        """Bytes of one element."""
        return self.array.itemsize

    def stride(self, dim=None):
        """Steps in elements from one index to the next, along each dimension or `dim`."""
        steps = tuple([s // self.array.itemsize for s in self.array.strides])
        return steps if dim is None else steps[core.normal_dim(dim, len(steps))]

    def storage_offset(self):
        """Elements between the start of the owner's memory and this view."""
        return strided.offset_of(self.array)

    def data_ptr(self):
        """Address of the first element; 0 where there are none."""
        return self.array.__array_interface__["data"][0] if self.array.size else 0

    const_data_ptr = data_ptr

    def is_contiguous(self, memory_format=None):
        """Are the elements in row-major order (or that of `memory_format`) without gaps?"""
        return shape.is_in_format(self.array, memory_format)

    def dim_order(self):
        """The dimensions in the order they lie in memory, outermost first."""
        steps = self.stride()
        return tuple(sorted(range(len(steps)), key=lambda d: -steps[d]))

    def is_set_to(self, tensor):
        """Do both look at the same memory in the same way?"""
        core.tensor_argument("is_set_to", "tensor", tensor)
        mine, other = (
            (t.data_ptr(), t.array.shape, t.array.strides, t.array.dtype) for t in (self, tensor)
        )
        return mine == other

    def is_pinned(self, device=None):
        """False: there is no GPU to copy to."""
        return False

    def is_shared(self):
        """False: no other process sees the memory."""
        return False

    def is_floating_point(self):
        """Is the dtype a floating point one?"""
        return _dtype.is_float(self.array.dtype)

    def is_complex(self):
        """Is the dtype a complex one?"""
        return self.array.dtype.kind == "c"

    def get_device(self):
        """Number of the GPU; -1 on the CPU."""
        return -1

    # -- out of the tensor

    def item(self):
        """The only element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self.array.size} elements cannot be converted to Scalar"
            )
        return self.array.item()

    def tolist(self):
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self.array.tolist()

    def numpy(self, *, force=False):
        """The NumPy array itself: changes show on both sides. `force` detaches first."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        return self.array

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(
                    f"a tensor of dtype {array.dtype} is no array of {dtype} without a copy"
                )
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return tensor_of(array) if array.dtype.kind in "fiubcV" else array

    def __len__(self):
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self):
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(join.unbind(self, 0))

    def __bool__(self):
        if self.array.size != 1:
            what = "more than one value" if self.array.size else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(self.array.item())

    def _real_item(self, type):
        """The only element for float() and int(): no complex number that is not real."""
        if self.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        value = self.item()
        if isinstance(value, builtins.complex):
            if value.imag:
                raise RuntimeError(f"value cannot be converted to type {type} without overflow")
            value = value.real
        return value

    def __float__(self):
        return float(self._real_item("double"))

    def __int__(self):
        return int(self._real_item("int64_t"))

    def __complex__(self):
        return builtins.complex(self.item())

    def __index__(self):
        if self.array.size != 1 or self.array.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    def __contains__(self, element):
        if isinstance(element, (TensorBase, int, float)):
            return bool((self == element).any())
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )

    def __reversed__(self):
        return join.flip(self, *range(self.array.ndim)) if self.array.ndim else self

    __long__ = __int__

    def __format__(self, spec):
        if self.array.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __repr__(self):
        return _printing.text(self)

    # -- indexing

    # -- conversion

    def to(
        self, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None
    ):
        """The tensor as another dtype or on another device, itself if nothing changes: to(dtype),
        to(device), to(device, dtype), to(other), each with non_blocking and copy after it.

        copy: a new tensor even then. memory_format: the order of the dimensions in memory.
        """
        if len(args) == 1 and dtype is device is memory_format is None and not copy:  # the usual
            wanted = args[0]
            if type(wanted) is _dtype.dtype:
                same = wanted.dtype == self.array.dtype
                return self if same else elementwise.cast(self, dtype=wanted.dtype)
            if wanted is _dtype.CPU or (type(wanted) is str and wanted == "cpu"):
                return self
        flags = [a for a in args if isinstance(a, bool)]  # non_blocking, copy
        if len(flags) > 1:
            copy = flags[1]
        for a in args:
            if isinstance(a, TensorBase):
                dtype = a.array.dtype
            elif isinstance(a, bool):
                continue
            elif isinstance(a, (str, _dtype.device, int)):
                device = a
            elif a is not None:
                dtype = a
        creation.checked_device(device)
        wanted = self.array.dtype if dtype is None else _dtype.as_numpy(dtype)
        found = self if wanted == self.array.dtype else elementwise.cast(self, dtype=wanted)
        if memory_format in shape.FORMATS:
            found = shape.contiguous(found, memory_format)
        return elementwise.clone(self) if copy and found is self else found

    def type(self, dtype=None, non_blocking=False):
        """The old name of the type, PyTorch's, which programs compare ('torch.FloatTensor'), or the
        tensor as another type."""
        if dtype is None:
            name = next(k for k, d in _dtype.LEGACY.items() if d is self.dtype)
            return f"torch.{name}"
        if isinstance(dtype, str):
            dtype = _dtype.LEGACY.get(dtype.rpartition(".")[2], dtype)
        return self.to(getattr(dtype, "legacy_dtype", dtype))

    def type_as(self, other):
        """The tensor in the dtype of `other`."""
        return self.to(core.tensor_argument("type_as", "other", other).dtype)

    def cpu(self, memory_format=None):
        """The tensor on the CPU: itself."""
        return self

    def cuda(self, device=None, non_blocking=False, memory_format=None):
        """The tensor on a GPU; RuntimeError, as there is none."""
        return self.to("cuda" if device is None else _dtype.device(device))

    def pin_memory(self):
        """The tensor itself: there is no GPU to copy to."""
        return self

    view_dtype = strided.viewed_as

    # -- autograd

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate the gradient of this tensor into `.grad` of the leaves it depends on."""
        gradients.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    # -- new tensors of the same kind

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, **options):
        """`tensor(data)` in this dtype."""
        dtype = self.dtype if dtype is None else dtype
        return creation.tensor(
            data, dtype=dtype, device=device, requires_grad=requires_grad,
            pin_memory=options.pop("pin_memory", False),
        )  # fmt: skip

    def new_zeros(self, *size, dtype=None, **options):
        """`zeros` in this dtype."""
        return creation.zeros(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_ones(self, *size, dtype=None, **options):
        """`ones` in this dtype."""
        return creation.ones(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_empty(self, *size, dtype=None, **options):
        """`empty` in this dtype."""
        return creation.empty(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_empty_strided(self, size, stride, dtype=None, **options):
        """`empty_strided` in this dtype."""
        dtype = self.dtype if dtype is None else dtype
        return creation.empty_strided(size, stride, dtype=dtype, **options)

    def new_full(self, size, fill_value, *, dtype=None, **options):
        """`full` in this dtype."""
        dtype = self.dtype if dtype is None else dtype
        return creation.full(size, fill_value, dtype=dtype, **options)

    def new(self, *args):
        """`x.new(2, 3)`, old: uninitialised, or with the given values, in this dtype."""
        return tensor_of(_legacy_array(args, self.dtype))

    # -- in place

    def copy_(self, src, non_blocking=False):
        """The values of `src`, broadcast and cast to this dtype, over the own ones."""
        if not isinstance(src, TensorBase):
            raise TypeError(f"copy_(): argument 'other' must be Tensor, not {type(src).__name__}")
        return self if self._overwrite(src) else elementwise.fill.inplace(self, src)

    def fill_(self, value):
        """`value`, a number or 0-d tensor, in every place."""
        if isinstance(value, TensorBase) and value.array.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.array.ndim} dimensions."
            )
        return self if self._overwrite(value) else elementwise.fill.inplace(self, value)

    def zero_(self):
        """0 in every place."""
        return self if self._overwrite(0) else elementwise.fill.inplace(self, 0)

    def add_(self, other, *, alpha=1):
        """`self += alpha * other`."""
        primitive, other, static = elementwise.with_alpha(
            elementwise.add_arrays, 1, self, other, alpha
        )
        return primitive.inplace(self, other, **static)

    def sub_(self, other, *, alpha=1):
        """`self -= alpha * other`."""
        primitive, other, static = elementwise.with_alpha(
            elementwise.sub_arrays, -1, self, other, alpha
        )
        return primitive.inplace(self, other, **static)

    def div_(self, other, *, rounding_mode=None):
        """`self /= other`; rounding_mode 'floor' or 'trunc'."""
        primitive, static = elementwise.division(rounding_mode)
        return primitive.inplace(self, other, **static)

    def float_power_(self, exponent):
        """`float_power` in place, of float64 alone."""
        if self.array.dtype != np.float64:
            raise RuntimeError(
                f"the base given to float_power_ has dtype {core.legacy_name(self.array.dtype)} "
                "but the operation's result requires dtype Double"
            )
        return elementwise.pow.inplace(self, exponent)

    def polygamma(self, n):
        """Derivative number n of `digamma`."""
        return special.polygamma(n, self)

    def polygamma_(self, n):
        """`polygamma` in place."""
        if n == 0:
            return special.digamma.inplace(self)
        return special.gamma.polygamma_of.inplace(self, n=n)

    def mvlgamma_(self, p):
        """`mvlgamma` in place."""
        return self.copy_(special.mvlgamma(self, p))

    def renorm_(self, p, dim, maxnorm):
        """`renorm` in place."""
        # of a copy: the gradient needs what stood here before
        return self.copy_(distance.renorm(elementwise.clone(self), p, dim, maxnorm))

    def clamp_(self, min=None, max=None):
        """`clamp` in place."""
        numbers = (min is not None) + (max is not None)
        if numbers and not (isinstance(min, TensorBase) or isinstance(max, TensorBase)):
            return elementwise.selection.clamp_numbers.inplace(self, min=min, max=max)
        for primitive, bound, static in elementwise.clamping(min, max):
            primitive.inplace(self, *([] if bound is None else [bound]), **static)
        return self

    clip_ = clamp_

    def clamp_min_(self, min):
        """`clamp_(min=min)`."""
        return self.clamp_(min)

    def clamp_max_(self, max):
        """`clamp_(max=max)`."""
        return self.clamp_(None, max)

    def addcmul_(self, tensor1, tensor2, *, value=1):
        """`self += value * tensor1 * tensor2`."""
        return elementwise.addcmul_arrays.inplace(self, tensor1, tensor2, value=value)

    def addcdiv_(self, tensor1, tensor2, *, value=1):
        """`self += value * tensor1 / tensor2`."""
        return elementwise.addcdiv_arrays.inplace(self, tensor1, tensor2, value=value)

    def lerp_(self, end, weight):
        """`self += weight * (end - self)`."""
        return elementwise.lerp_arrays.inplace(self, end, weight)

    def unsqueeze_(self, dim):
        """`unsqueeze` of this very tensor."""
        return self._become(shape.unsqueeze(self, dim))

    def squeeze_(self, dim=None):
        """`squeeze` of this very tensor."""
        return self._become(shape.squeeze(self, dim))

    def transpose_(self, dim0, dim1):
        """`transpose` of this very tensor."""
        return self._become(shape.transpose(self, dim0, dim1))

    def t_(self):
        """`t` of this very tensor."""
        return self._become(shape.t(self))

    swapaxes_ = swapdims_ = transpose_

    def apply_(self, callable):
        """`callable`, from a Python number to one, of every element in place; slow."""
        return self.map_(self, lambda own, _: callable(own))

    def map_(self, tensor, callable):
        """`callable(own, other)` of every element and that of `tensor` in place; slow."""
        core.tensor_argument("map_", "tensor", tensor)
        if self.requires_grad:
            raise RuntimeError("Can't call apply_() or map_() on Variable that requires grad.")
        pairs = zip(
            self.array.ravel().tolist(),
            np.broadcast_to(tensor.array, self.array.shape).ravel().tolist(),
        )
        found = np.array([callable(a, b) for a, b in pairs], self.array.dtype)
        return elementwise.fill.inplace(self, found.reshape(self.array.shape))

    # -- copies

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment. If you were attempting to deepcopy a module, this may be "
                "because of a tensor attribute that is not a leaf; detach() it."
            )
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        memory, how = exchange.taken_apart(self.array)
        if id(memory) not in memo:  # NumPy's own deepcopy would lose the order of the dimensions
            memo[id(memory)] = memory.copy(order="K")
            memo.setdefault(id(memo), []).append(memory)  # keeps the id from another use
        made.array = exchange.put_together(memo[id(memory)], how)
        if self.grad is not None:
            made.grad = copy.deepcopy(self.grad, memo)
        made.requires_grad_(self.requires_grad)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __reduce_ex__(self, protocol):
        memory, how = exchange.taken_apart(self.array)
        return _restore, (type(self), memory, how, self.requires_grad, dict(self.__dict__))

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A DLPack capsule on the memory of this tensor; see `exchange.dlpack_of`."""
        return exchange.dlpack_of(
            self, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def __dlpack_device__(self):
        """(device type, number) in DLPack's terms: the CPU."""
        return exchange.CPU_DEVICE


def _restore(cls, memory, how, requires_grad, attributes):
    """The tensor that `__reduce_ex__` took apart."""
    made = cls.__new__(cls)
    made.array = exchange.put_together(memory, how)
    made.requires_grad_(requires_grad)
    made.__dict__.update(attributes)
    return made


def _legacy_array(args, dtype):
    """The array of an old constructor: sizes or data."""
    dtype = _dtype.as_numpy(dtype)
    if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
        data = args[0]
        if isinstance(data, _dtype.Size):
            return np.empty(data, dtype)
        if isinstance(data, TensorBase):
            if data.array.dtype != dtype:
                raise TypeError(f"expected a tensor of dtype {dtype}, got {data.array.dtype}")
            return data.array
        return np.array(creation._array_of(data, dtype), order="C")
    if not args:
        return np.empty((0,), dtype)
    return np.empty(core.sizes("Tensor", args), dtype)


def _operands_by_name(names, args, given):
    """`args` with those of `given` (which loses them) that come next among the operands `names`;
    PyTorch's name of the first is `other`."""
    if "other" in given:
        given[names[0]] = given.pop("other")
    for name in names[len(args) :]:
        if name not in given:
            break
        args += (given.pop(name),)
    for name in names:
        if name in given:
            raise TypeError(f"argument {name!r} given twice, or without those before it")
    return args


def inplace(function, direct=True):
    """The in-place method of a function: of a primitive its own in-place form, unless `direct` is
    off; else the result is written over the tensor."""

    if direct and isinstance(function, _engine.Primitive):
        operands = function.operands[1:]

        def method(self, *args, **static):
            if static and operands:
                args = _operands_by_name(operands, args, static)
            return function.inplace(self, *args, **static)

    else:

        def method(self, *args, **kwargs):
            # What the function saves for its gradient must not be what is written over.
            recorded = self.requires_grad and _engine.is_grad_enabled()
            result = function(elementwise.clone(self) if recorded else self, *args, **kwargs)
            core.require_fit(self.array, result.array)
            return elementwise.fill.inplace(self, result)

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"`{function.__name__}` in place."
    return method


def _dtype_method(name, dtype):
    def method(self, memory_format=None):
        wanted = dtype.dtype
        return self if self.array.dtype is wanted else elementwise.cast(self, dtype=wanted)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor as {dtype}."
    return method


for _name, _as in {
    "half": _dtype.float16, "float": _dtype.float32, "double": _dtype.float64, "char": _dtype.int8,
    "short": _dtype.int16, "int": _dtype.int32, "long": _dtype.int64, "byte": _dtype.uint8,
    "bool": _dtype.bool_, "bfloat16": _dtype.bfloat16, "cfloat": _dtype.complex64,
    "cdouble": _dtype.complex128,
}.items():  # fmt: skip
    setattr(Tensor, _name, _dtype_method(_name, _as))

# Functions that are methods too, by module.
METHODS = {
    elementwise: """
        abs absolute acos acosh add addcdiv addcmul allclose arccos arccosh arcsin arcsinh arctan
        arctan2 arctanh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not
        bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip clone
        copysign cos cosh deg2rad div divide eq equal erf erfc erfinv exp exp2 expm1 fix
        float_power floor floor_divide fmax fmin fmod frac frexp gcd ge greater greater_equal gt
        heaviside hypot isclose isfinite isinf isnan isneginf isposinf isreal lcm ldexp le lerp less
        less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
        logical_xor logit
        lt masked_fill maximum minimum mul multiply nan_to_num ne neg negative nextafter not_equal
        positive pow rad2deg reciprocal remainder round rsqrt rsub sgn sigmoid sign signbit sin sinc
        sinh sqrt square sub subtract tan tanh true_divide trunc xlogy
    """,
    reduce: """
        all amax amin aminmax any argmax argmin count_nonzero cummax cummin cumprod cumsum
        logcumsumexp logsumexp max mean min nanmean nansum prod std sum var
    """,
    shape: """
        adjoint broadcast_to contiguous expand expand_as flatten is_nonzero is_same_size is_signed
        moveaxis movedim narrow permute ravel reshape reshape_as rot90 select squeeze sum_to_size
        swapaxes swapdims t transpose unflatten unfold unsqueeze view view_as
    """,
    split: """
        chunk dsplit hsplit split split_with_sizes tensor_split unsafe_chunk unsafe_split
        unsafe_split_with_sizes vsplit
    """,
    strided: "as_strided as_strided_ as_strided_scatter resize_ resize_as_ set_",
    storage: "storage untyped_storage",
    copies: "narrow_copy",
    sparse: "to_dense to_sparse",
    index: """
        argwhere index_add index_add_ index_copy index_copy_ index_fill index_fill_ index_put
        index_put_ index_reduce index_reduce_ index_select masked_scatter masked_scatter_
        masked_select nonzero nonzero_static put_ select_scatter take take_along_dim
    """,
    scatter: """
        gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_
    """,
    linalg: """
        addbmm addmm addmv addr baddbmm bmm cross dot ger inner matmul mm mv outer trace vdot
    """,
    distance: "dist norm renorm",
    factor: """
        cholesky_inverse cholesky_solve geqrf inverse logdet orgqr ormqr triangular_solve
    """,
    matrices: "kron pinverse",
    special: "digamma i0 igamma igammac lgamma mvlgamma",
    statistics: "corrcoef cov",
    activation: "log_softmax relu softmax",
    piecewise: "hardshrink prelu",
    fft: "istft stft",
    complex: """
        angle conj conj_physical is_conj is_neg resolve_conj resolve_neg
    """,
    random: """
        bernoulli bernoulli_ cauchy_ exponential_ geometric_ log_normal_ multinomial normal_ random_
        uniform_
    """,
    join: "diff flip fliplr flipud repeat repeat_interleave roll tile unbind",
    diagonal: """
        diag diag_embed diagflat diagonal diagonal_scatter fill_diagonal_ tril tril_ triu triu_
    """,
    counting: "bincount histc histogram unique unique_consecutive",
    order: """
        argsort kthvalue median mode msort nanmedian nanquantile quantile sort topk
    """,
}
for _module, _names in METHODS.items():
    for _name in _names.split():
        _method = getattr(_module, _name)
        if hasattr(_method, "__code__") and not hasattr(_method, "takes_aliases"):
            _method = _engine.guarded(_method)
        setattr(Tensor, _name, _method)

# Old names of what `linalg` has under the same name with other arguments.
for _name in ["cholesky", "det", "lu", "lu_solve", "qr", "slogdet", "svd"]:
    setattr(Tensor, _name, getattr(factor, f"old_{_name}"))
for _name in ("matrix_exp", "matrix_power"):
    setattr(Tensor, _name, getattr(matrices, f"old_{_name}"))


def _written(function):
    """The in-place method of a function made of several operations: its result over the tensor."""

    def method(self, *args, **kwargs):
        return elementwise.fill.inplace(self, function(self, *args, **kwargs))

    method.__name__ = method.__qualname__ = function.__name__ + "_"
    method.__doc__ = f"`{function.__name__}` in place."
    return method


for _name in ("addbmm", "addmm", "addmv", "addr", "baddbmm"):
    setattr(Tensor, _name + "_", _written(getattr(linalg, _name)))

# Functions that have an in-place form, `x.sin_()`, beside those that the class defines.
INPLACE = """
    abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
    bitwise_xor ceil copysign cos cosh deg2rad erf erfc erfinv exp exp2 expm1 fix floor
    floor_divide fmod frac gcd heaviside hypot lcm ldexp log log10 log1p log2 logical_and
    logical_not logical_or logical_xor logit masked_fill mul multiply nan_to_num neg negative
    nextafter pow rad2deg reciprocal remainder round rsqrt sgn sigmoid sign sin sinc sinh sqrt
    square tan tanh trunc xlogy
"""
for _name in INPLACE.split():
    setattr(Tensor, _name + "_", inplace(getattr(elementwise, _name)))
for _name in ("digamma", "i0", "igamma", "igammac", "lgamma"):
    setattr(Tensor, _name + "_", inplace(getattr(special, _name)))
COMPARISONS = "eq ge greater greater_equal gt le less less_equal lt ne not_equal"
for _name in COMPARISONS.split():
    # Not the primitive's own: a kernel that compares writes bools, not numbers.
    setattr(Tensor, _name + "_", inplace(getattr(elementwise, _name), direct=False))
Tensor.cumsum_, Tensor.cumprod_ = inplace(reduce.cumsum), inplace(reduce.cumprod)
Tensor.divide_, Tensor.subtract_, Tensor.true_divide_ = Tensor.div_, Tensor.sub_, Tensor.div_
Tensor.relu_ = inplace(activation.relu)
Tensor.put = _engine.guarded(index.put_at)
Tensor.slice_scatter = _engine.guarded(index.slice_replaced)

# In-place forms that PyTorch has as functions too: `torch.exp_(x)`.
FUNCTIONS_IN_PLACE = """
    abs_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_
    ceil_ clamp_ clamp_max_ clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp_ exp2_
    expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ lcm_ ldexp_ log_ log10_ log1p_ log2_ logit_ nan_to_num_
    neg_ negative_ rad2deg_ reciprocal_ relu_ round_ rsqrt_ sgn_ sigmoid_ sin_ sinc_ sinh_ sqrt_
    square_ tan_ tanh_ trunc_ xlogy_ zero_
"""
NEVER = "distributed ipu maia meta mkldnn mps mtia nested quantized vulkan xla xpu"
for _name in NEVER.split():
    _doc = f"False: there are no {_name} tensors."
    setattr(Tensor, f"is_{_name}", property(lambda self: False, doc=_doc))

OPERATORS = """
    mul pow neg abs floor_divide remainder eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor
    bitwise_not bitwise_left_shift bitwise_right_shift
"""


def _length(tensor, dim):
    return tensor.array.shape[core.normal_dim(dim, tensor.array.ndim)]


_engine.configure(
    tensor=Tensor,
    properties=(_dtype.Size, _dtype.of, _length),
    promote=core.promote,
    fit=shape.fit,
    explain=core.explain,
    clone=elementwise.clone,
    conj=elementwise.conj_of,
    halves=(core.widen, core.narrow),
    subscript=(shape.slice_of, index.getitem, index.setitem, index.take_at, index.put),
    aliasing=(shape.window, shape.put_window, shape.geometry),
    operators={
        **{name: getattr(elementwise, name) for name in OPERATORS.split()},
        "add": elementwise.add_arrays,
        "sub": elementwise.sub_arrays,
        "div": elementwise.div_arrays,
        "matmul": linalg.matmul,
    },
    quiet_context=core.quiet_context,
    writing=(core.put, core.store),
)


def _legacy_type(name, dtype):
    """An old constructor such as FloatTensor: `FloatTensor(2, 3)`, `FloatTensor([1, 2])`."""

    class Meta(type):
        legacy_dtype = dtype

        def __instancecheck__(cls, obj):
            return isinstance(obj, Tensor) and obj.dtype is dtype

    def new(cls, *args):
        return tensor_of(_legacy_array(args, dtype))

    return Meta(
        name, (), {"__new__": new, "legacy_dtype": dtype, "__doc__": f"`Tensor` of {dtype}."}
    )


HalfTensor = _legacy_type("HalfTensor", _dtype.float16)
BFloat16Tensor = _legacy_type("BFloat16Tensor", _dtype.bfloat16)
FloatTensor = _legacy_type("FloatTensor", _dtype.float32)
DoubleTensor = _legacy_type("DoubleTensor", _dtype.float64)
CharTensor = _legacy_type("CharTensor", _dtype.int8)
ShortTensor = _legacy_type("ShortTensor", _dtype.int16)
IntTensor = _legacy_type("IntTensor", _dtype.int32)
LongTensor = _legacy_type("LongTensor", _dtype.int64)
ByteTensor = _legacy_type("ByteTensor", _dtype.uint8)
BoolTensor = _legacy_type("BoolTensor", _dtype.bool_)
