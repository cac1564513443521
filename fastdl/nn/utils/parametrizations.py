"""Ready parametrizations: orthogonal matrices, spectral and weight normalisation."""

from __future__ import annotations

from functools import partial

from fastdl import _dtype
from fastdl.autograd import no_grad
from fastdl.nn.functional import normalize
from fastdl.nn.module import Module
from fastdl.nn.utils.parametrize import register_parametrization
from fastdl.nn.utils.spectral_norm import as_matrix, output_dim, random_direction
from fastdl.nn.utils.weight_norm import norm_except, normalized
from fastdl.ops.creation import eye, zeros
from fastdl.ops.elementwise import where
from fastdl.ops.factor import geqrf, householder_product, qr, solve
from fastdl.ops.join import cat
from fastdl.ops.matrices import matrix_exp
from fastdl.ops.random import randn
from fastdl.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ---- orthogonal matrices ------------------------------------------------------------------------


def _orthogonalized(matrix: Tensor) -> Tensor:
    """The Q of matrix = Q R with the diagonal of R positive."""
    q, r = qr(matrix)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _is_orthogonal(matrix: Tensor) -> bool:
    rows, columns = matrix.shape[-2:]
    product = matrix.mH @ matrix
    # sums of `rows` products: 10 rounding errors for each term
    bound = 10 * rows * _dtype.finfo(matrix.dtype).eps
    return bool(((product - eye(columns, dtype=matrix.dtype)).abs() <= bound).all())


class Orthogonal(Module):
    """(..., n, k) -> as many matrices with orthonormal columns (rows where n < k).

    Lezcano-Casado & Martinez-Rubio 2019. With `base`, the map's value is multiplied by a fixed
    orthogonal matrix, so that the original starts where the map is the identity, and any
    orthogonal matrix can be assigned.
    """

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        q = self._reflections(x) if self.orthogonal_map == "householder" else self._rotation(x)
        if self.use_trivialization:
            q = self.base @ q
        return q.mT if wide else q

    def _rotation(self, x: Tensor) -> Tensor:
        """The first columns of a function of the skew-symmetric matrix whose lower part x is."""
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = cat([x, zeros(*x.shape[:-2], n, n - k, dtype=x.dtype)], dim=-1)
        skew = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = matrix_exp(skew)
        else:  # Cayley's map (I - A / 2)^-1 (I + A / 2)
            one = eye(n, dtype=x.dtype)
            q = solve(one - skew / 2, one + skew / 2)
        return q if n == k else q[..., :k]

    def _reflections(self, x: Tensor) -> Tensor:
        """The product of the Householder reflections below x's diagonal, which holds signs."""
        vectors = x.tril(-1)
        scales = 2 / (1 + (vectors * vectors).sum(-2))
        signs = x.detach().diagonal(dim1=-2, dim2=-1).int().to(x.dtype).unsqueeze(-2)
        return householder_product(vectors, scales) * signs

    def right_inverse(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. "
                f"Got a tensor of shape {value.shape}."
            )
        with no_grad():
            wide = value.shape[-2] < value.shape[-1]
            q = value.mT if wide else value
            if self.use_trivialization:
                self.base = self._completed(q)
                # at minus the identity each of the maps gives the identity
                original = -eye(*value.shape[-2:], dtype=value.dtype)
                return original.expand(value.shape).clone()
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential "
                    "or the Cayley parametrizations when use_trivialization=False."
                )
            vectors, scales = geqrf(q)
            signs = vectors.diagonal(dim1=-2, dim2=-1).sign()
            signs = where(scales == 0, -signs, signs)  # no reflection was needed in this column
            original = where(eye(*q.shape[-2:]) > 0, signs.unsqueeze(-2), vectors)
            return original.mT if wide else original

    def _completed(self, q: Tensor) -> Tensor:
        """A square orthogonal matrix whose first columns are q's, made orthonormal."""
        n, k = q.shape[-2:]
        if n != k:
            return _orthogonalized(cat([q, randn(*q.shape[:-1], n - k, dtype=q.dtype)], dim=-1))
        return q.clone() if _is_orthogonal(q) else _orthogonalized(q)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keeps a matrix, or each of a batch of them, orthogonal (unitary if complex).

    Args:
        module: the layer.
        name: of a parameter (..., n, k); its columns become orthonormal, its rows where n < k.
        orthogonal_map: ``"matrix_exp"`` (for square or complex ones unless given), ``"cayley"`` or
            ``"householder"``.
        use_trivialization: multiply by a fixed matrix, without which only ``"householder"`` can
            be assigned to, and the parameter's present value is lost.

    Returns:
        The module.

    Raises:
        ValueError: no such parameter, less than two dimensions, an unknown map, or reflections
            for a complex one.
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    parametrization = Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, parametrization, unsafe=True)


# ---- normalised weights -------------------------------------------------------------------------


class WeightNorm(Module):
    """(sizes, direction) -> sizes * direction / norm of direction."""

    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normalized(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a parameter into its sizes (``original0``) and its direction (``original1``).

    Salimans & Kingma 2016. State dicts of the older ``nn.utils.weight_norm`` load.

    Args:
        module: the layer.
        name: of its parameter.
        dim: each index along it has a size of its own; None: one size for all.

    Returns:
        The module.

    Raises:
        ValueError: no such parameter.
    """
    register_parametrization(module, name, WeightNorm(dim), unsafe=True)
    module._register_load_state_dict_pre_hook(partial(_rename_old_keys, name))
    return module


def _rename_old_keys(name: str, state_dict, prefix: str, *_) -> None:
    """Gives the keys of ``nn.utils.weight_norm`` the parametrization's names."""
    old = [f"{prefix}{name}{end}" for end in ("_g", "_v")]
    if all(key in state_dict for key in old):
        for i, key in enumerate(old):
            state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)


class SpectralNorm(Module):
    """A weight -> the weight divided by an estimate of its largest singular value; a vector
    divided by its norm."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{weight.ndim}, {weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but "
                f"got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            rows, columns = matrix.shape
            self.register_buffer("_u", random_direction(rows, eps, weight))
            self.register_buffer("_v", random_direction(columns, eps, weight))
            self._iterate(matrix, 15)  # to begin with a fair estimate

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        """Steps of the power method. They make new vectors: what an earlier forward has recorded
        keeps the old ones."""
        with no_grad():
            for _ in range(steps):
                self._u = normalize(matrix.mv(self._v), dim=0, eps=self.eps)
                self._v = normalize(matrix.mH.mv(self._u), dim=0, eps=self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        return weight / self._u.vdot(matrix.mv(self._v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a layer's weight by its largest singular value, whenever it is read. Miyato et al.
    2018.

    Args:
        module: the layer.
        name: of its parameter.
        n_power_iterations: steps of the power method for each reading in training.
        eps: the least norm of a vector.
        dim: of the weight that becomes the rows of a matrix: 0, for transposed convolutions 1,
            unless given.

    Returns:
        The module.

    Raises:
        ValueError: no such parameter, or `n_power_iterations` is not positive.
        IndexError: no such dimension.
    """
    weight = _tensor_of(module, name)
    dim = output_dim(module) if dim is None else dim
    return register_parametrization(
        module, name, SpectralNorm(weight, n_power_iterations, dim, eps)
    )
