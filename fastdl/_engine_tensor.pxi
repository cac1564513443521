# TensorBase: an array with a gradient; operators. Included by _engine.pyx.

cdef object wrap(object array):
    cdef TensorBase t = <TensorBase>FDL_NEW(TENSOR, EMPTY)
    t.array = array
    if inferring and fdl_inference:
        t.inference = True
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
    cdef bint inference                 # made in inference mode: never saved, has no version
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
            if not is_inexact(self.array):
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if self.inference and not fdl_inference:
                raise RuntimeError("Setting requires_grad=True on inference tensor outside "
                                   "InferenceMode is not allowed.")
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
        if self.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
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
                    f"attempting to assign a gradient of size '{list(value.array.shape)}' to a "
                    f"tensor of size '{list(self.array.shape)}'. Please ensure that the gradient "
                    f"and the tensor are the same size")
            if value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{value.array.dtype}' to a tensor "
                    f"with dtype '{self.array.dtype}'. Please ensure that the gradient and the "
                    f"tensor have the same dtype")
        self._grad = value
        self.owns_grad = False

    @property
    def data(self):
        """A detached tensor on the same memory whose changes autograd does not see."""
        cdef TensorBase t = <TensorBase>wrap(self.array)
        t.inference = self.inference
        return t

    @data.setter
    def data(self, value):
        if not isinstance(value, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.node is not None and not is_inexact((<TensorBase>value).array):
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point dtype")
        self.array = (<TensorBase>value).array

    def detach(self):
        """The same memory without history; in-place changes are still noticed by autograd."""
        cdef TensorBase t = <TensorBase>wrap(self.array)
        t.version = version_of(self)
        t.epoch = -1
        t.inference = self.inference
        return t

    def is_inference(self):
        """Was this tensor made in inference mode?"""
        return self.inference

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
        renew(self)
        if self.node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks.setdefault(self.index, {}), hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Call `hook(tensor)` after each gradient that was accumulated into `.grad` of this leaf.

        Optimizers use it to step and drop each gradient as soon as it is there.
        """
        renew(self)
        if self.node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.node.op is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf "
                               "tensors")
        return RemovableHandle(self.node.hooks_of("accumulated"), hook)

    def _is_view(self):
        """Is this a view of another tensor (that autograd knows of)?"""
        return self.is_view

    @property
    def _base(self):
        """The tensor whose memory this view looks at; None for other tensors."""
        return self.base

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
        return fdl_size_tuple(SIZE, self.array) if fdl_is_plain(self.array) else (
            SIZE(self.array.shape))

    @property
    def dtype(self):
        """The number type, such as fastdl.float32."""
        cdef int number = fdl_type(self.array) if fdl_is_plain(self.array) else -1
        if not 0 <= number < len(known_dtypes):     # one that a package registered
            return DTYPE_OF(self.array.dtype)
        if known_dtypes[number] is None:
            known_dtypes[number] = DTYPE_OF(self.array.dtype)
        return known_dtypes[number]

    def dim(self):
        """Number of dimensions."""
        return self.array.ndim

    def size(self, dim=None):
        """The shape, or its length along `dim`."""
        cdef int d
        if dim is None:
            return self.shape
        if fdl_is_plain(self.array) and as_dim(<PyObject *>dim, fdl_ndim(self.array), &d):
            return fdl_length(self.array, d)
        return LENGTH(self, dim)

    def numel(self):
        """Number of elements."""
        return self.array.size

    @property
    def ndim(self):
        """Number of dimensions."""
        return self.array.ndim

    def __getitem__(self, index):
        cdef tuple places
        if fdl_is_plain(self.array):
            y = subscript(SLICE, self, index)
            if y is not None:
                return y
            places = places_of(self, index)
            if places is not None:
                try:
                    return TAKE.call((self,), {"index": places})
                except IndexError:          # which is explained there
                    pass
        return SUBSCRIPT(self, index)

    def __setitem__(self, index, value):
        if not assigned(self, index, value) and not placed(self, index, value):
            ASSIGN(self, index, value)

    def __delitem__(self, index):
        raise TypeError("Tensor does not support deleting items")

    def _overwrite(self, value):
        """self[...] = value, if this is a small matter: few elements, nothing recorded, a tensor of
        one dtype with this or a plain number. Was it?"""
        return fdl_is_plain(self.array) and fdl_size(self.array) <= FEW and (
            assigned(self, Ellipsis, value))

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

    def __pos__(self):
        if self.array.dtype.kind == "b":
            raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
        return self

    def __abs__(self): return ABS.call((self,), None)
    def __eq__(self, other): return binary(EQ, self, other)
    def __ne__(self, other): return binary(NE, self, other)
    def __lt__(self, other): return binary(LT, self, other)
    def __le__(self, other): return binary(LE, self, other)
    def __gt__(self, other): return binary(GT, self, other)
    def __ge__(self, other): return binary(GE, self, other)
    def __hash__(self): return <Py_ssize_t>(<PyObject *>self) >> 4

    def __invert__(self):
        if is_inexact(self.array):
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type "
                            "tensors")
        return INVERT.call((self,), None)

    def __iadd__(self, other):
        # Python enters this into a subclass as the slot of a sequence, too, which must not answer
        # NotImplemented.
        found = binary_inplace(ADD, self, other)
        return self + other if found is NotImplemented else found

    def __isub__(self, other): return binary_inplace(SUB, self, other)
    def __imul__(self, other): return binary_inplace(MUL, self, other)
    def __itruediv__(self, other): return binary_inplace(DIV, self, other)
    def __ifloordiv__(self, other): return binary_inplace(FLOOR_DIV, self, other)
    def __imod__(self, other): return binary_inplace(REMAINDER, self, other)
    def __ipow__(self, other): return binary_inplace(POW, self, other)
    def __iand__(self, other): return binary_inplace(AND, self, other)
    def __ior__(self, other): return binary_inplace(OR, self, other)
    def __ixor__(self, other): return binary_inplace(XOR, self, other)
    def __ilshift__(self, other): return binary_inplace(LSHIFT, self, other)
    def __irshift__(self, other): return binary_inplace(RSHIFT, self, other)


cdef bint is_inexact(object array):
    """Floating point or complex?"""
    cdef int known = fdl_is_inexact(array)
    return array.dtype.kind in "fc" if known < 0 else known


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
