"""Types of the door to the C kernels; what each function does stands in its docstring."""

from collections.abc import Sequence
from typing import final

from numpy import ndarray
from numpy.typing import DTypeLike

ACTIVATIONS: tuple[str, ...]
GEMM_VARIANTS: tuple[str, ...]
CONV_VARIANTS: tuple[str, ...]
POOL_VARIANTS: tuple[str, ...]
ATTENTION_VARIANTS: tuple[str, ...]

def isa_available() -> tuple[str, ...]: ...
def get_isa() -> str: ...
def set_isa(name: str | None) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def free_threads() -> int: ...
def planned_threads() -> int: ...
def available_threads() -> int: ...
def has_openmp() -> bool: ...
def compiler() -> str: ...
def fma_peak(
    dtype: DTypeLike = "float32", isa: str | None = None, threads: int = 0, seconds: float = 0.2
) -> float: ...
def gemm(
    a: ndarray,
    b: ndarray,
    *,
    out: ndarray | None = None,
    bias: ndarray | None = None,
    accumulate: bool = False,
    activation: str | None = None,
    before: ndarray | None = None,
    variant: str = "threaded",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def conv_fits(
    variant: str,
    geom: Sequence[int],
    *,
    direction: str = "forward",
    dtype: DTypeLike = "float32",
    isa: str | None = None,
) -> bool: ...
def conv_choice(
    geom: Sequence[int],
    *,
    direction: str = "forward",
    dtype: DTypeLike = "float32",
    isa: str | None = None,
) -> tuple[str, str]: ...
def forbid_winograd(forbid: bool) -> None: ...
def winograd_forbidden() -> bool: ...
def attention(
    q: ndarray,
    k: ndarray,
    v: ndarray,
    mask: ndarray | None = None,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    draw: tuple[int, int] = (0, 0),
    variant: str = "tiled",
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def attention_backward(
    dy: ndarray,
    q: ndarray,
    k: ndarray,
    v: ndarray,
    y: ndarray,
    lse: ndarray,
    mask: ndarray | None = None,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    draw: tuple[int, int] = (0, 0),
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray, ndarray]: ...
def attention_factors(
    out: ndarray,
    dropout: float,
    draw: tuple[int, int],
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...

RECURRENT_CELLS: tuple[str, ...]

def recurrence(
    a: ndarray,
    w: ndarray,
    b: ndarray | None,
    h: ndarray,
    c: ndarray | None,
    cell: str,
    sizes: ndarray,
    reverse: bool = False,
    recorded: bool = True,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray, ndarray] | tuple[ndarray, ndarray, ndarray, ndarray]: ...
def recurrence_backward(
    gy: ndarray | None,
    gh: ndarray | None,
    gc: ndarray | None,
    w: ndarray,
    h: ndarray,
    c: ndarray | None,
    y: ndarray,
    gates: ndarray,
    cell: str,
    sizes: ndarray,
    reverse: bool = False,
    states: bool = True,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ...]: ...

@final
class ReadyFilters:
    w: ndarray
    nbytes: int
    def __init__(self, w: ndarray) -> None: ...

def conv2d(
    x: ndarray,
    w: ndarray | ReadyFilters,
    bias: ndarray | None,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "auto",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def conv2d_grad_input(
    dy: ndarray,
    w: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "auto",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def conv2d_grad_weight(
    x: ndarray,
    dy: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "auto",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def max_pool2d(
    x: ndarray,
    geom: Sequence[int],
    *,
    out: tuple[ndarray, ndarray] | None = None,
    variant: str = "threaded",
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def max_pool2d_scatter(
    dy: ndarray,
    taps: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "threaded",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def max_pool2d_gather(
    x: ndarray,
    taps: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def positions_from_taps(taps: ndarray, geom: Sequence[int]) -> ndarray: ...
def avg_pool2d(
    x: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "threaded",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def avg_pool2d_backward(
    dy: ndarray,
    geom: Sequence[int],
    *,
    out: ndarray | None = None,
    variant: str = "threaded",
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def adaptive_max_pool2d(
    x: ndarray,
    oh: int,
    ow: int,
    *,
    out: tuple[ndarray, ndarray] | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def adaptive_avg_pool2d(
    x: ndarray,
    oh: int,
    ow: int,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def adaptive_avg_pool2d_backward(
    dy: ndarray,
    h: int,
    w: int,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def plane_gather(
    x: ndarray,
    positions: ndarray,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def plane_scatter(
    x: ndarray,
    positions: ndarray,
    size: int,
    add: bool = True,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...

@final
class Map:
    name: str
    formula: str
    inputs: int
    parameters: dict[str, float] | None
    def __call__(
        self,
        *arrays: ndarray,
        out: ndarray | None = None,
        isa: str | None = None,
        threads: int = 0,
        **parameters: float | None,
    ) -> ndarray: ...
    def sum(
        self,
        *arrays: ndarray,
        factor: float = 1.0,
        isa: str | None = None,
        threads: int = 0,
        **parameters: float | None,
    ) -> ndarray: ...

MAPS: dict[str, Map]

def softmax(
    x: ndarray,
    log: bool = False,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def softmax_backward(
    dy: ndarray,
    y: ndarray,
    log: bool = False,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def cross_entropy(
    logits: ndarray,
    target: ndarray,
    ignore_index: int = -100,
    weight: ndarray | None = None,
    smoothing: float = 0.0,
    scale: float | str = 1.0,
    *,
    gradient: bool = True,
    out: tuple[ndarray, ndarray] | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray | None]: ...
def soft_cross_entropy(
    logits: ndarray,
    target: ndarray,
    weight: ndarray | None = None,
    smoothing: float = 0.0,
    scale: float = 1.0,
    *,
    gradient: bool = True,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray, ndarray | None]: ...
def nll(
    x: ndarray,
    target: ndarray,
    ignore_index: int = -100,
    weight: ndarray | None = None,
    scale: float | str = 1.0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def nll_backward(
    dy: ndarray,
    target: ndarray,
    classes: int,
    ignore_index: int = -100,
    weight: ndarray | None = None,
    scale: float | str = 1.0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def ctc_loss(
    x: ndarray,
    targets: ndarray,
    steps: ndarray,
    lengths: ndarray,
    blank: int = 0,
    zero_infinity: bool = False,
    gradient: bool = True,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray | None]: ...
def channel_sum(
    dy: ndarray, *, out: ndarray | None = None, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def copy(
    x: ndarray, *, out: ndarray | None = None, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def concatenate(
    xs: Sequence[ndarray], axis: int, *, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def stack(
    xs: Sequence[ndarray], axis: int, *, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def pad(
    x: ndarray,
    widths: Sequence[tuple[int, int]],
    value: float = 0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def fill(
    out: ndarray, value: float | ndarray, *, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def within(index: ndarray, low: int, high: int) -> bool: ...
def gather(
    x: ndarray, index: ndarray, dim: int, *, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def scatter_add(
    x: ndarray, index: ndarray, shape: Sequence[int], dim: int, *, isa: str | None = None
) -> ndarray: ...
def join_along(*xs: ndarray, dim: int) -> ndarray: ...
def stack_along(*xs: ndarray, dim: int) -> ndarray: ...
def pad_with(x: ndarray, *, widths: Sequence[tuple[int, int]], value: float) -> ndarray: ...
def flip_along(x: ndarray, *, dims: Sequence[int]) -> ndarray: ...
def roll_along(x: ndarray, *, shifts: Sequence[int], dims: Sequence[int]) -> ndarray: ...
def gather_along(x: ndarray, index: ndarray, *, dim: int) -> ndarray: ...
def take_at(x: ndarray, *, index: tuple[object, ...]) -> object: ...
def put_at(
    x: ndarray,
    value: ndarray,
    *,
    index: tuple[object, ...],
    view: object = ...,
    out: ndarray | None = None,
) -> object: ...
def sum_at(
    x: ndarray, value: ndarray, *, index: tuple[object, ...], out: ndarray | None = None
) -> object: ...
def scatter_values(
    x: ndarray, index: ndarray, src: ndarray, *, dim: int, out: ndarray | None = None
) -> object: ...
def scatter_sum(
    x: ndarray, index: ndarray, src: ndarray, *, dim: int, out: ndarray | None = None
) -> object: ...
def cast_to(x: ndarray, *, dtype: object, out: ndarray | None = None) -> object: ...
def tril(x: ndarray, *, diagonal: int, out: ndarray | None = None) -> object: ...
def triu(x: ndarray, *, diagonal: int, out: ndarray | None = None) -> object: ...
def triangle_places(rows: int, columns: int, offset: int, lower: bool) -> ndarray: ...
def product(x: ndarray, y: ndarray) -> object: ...
def ordered_along(x: ndarray, *, dim: int, first: int, last: int, greatest: bool) -> object: ...
def middle_along(x: ndarray, *, dim: int, keepdim: bool, skip_nan: bool) -> object: ...
def middle(x: ndarray, *, skip_nan: bool) -> object: ...
def floor_divide(x: ndarray, y: ndarray, *, out: ndarray | None = None) -> ndarray: ...
def remainder(x: ndarray, y: ndarray, *, out: ndarray | None = None) -> ndarray: ...
def fmod(x: ndarray, y: ndarray, *, out: ndarray | None = None) -> ndarray: ...
def log_gamma(x: ndarray, *, out: ndarray | None = None) -> object: ...
def digamma(x: ndarray, *, out: ndarray | None = None) -> object: ...
def softmax_along(x: ndarray, *, axis: int) -> ndarray: ...
def log_softmax_along(x: ndarray, *, axis: int) -> ndarray: ...
def cumsum_along(x: ndarray, *, dim: int) -> ndarray: ...
def cumprod_along(x: ndarray, *, dim: int) -> ndarray: ...
def cummax_along(x: ndarray, *, dim: int) -> tuple[ndarray, ndarray]: ...
def cummin_along(x: ndarray, *, dim: int) -> tuple[ndarray, ndarray]: ...

@final
class Extreme:
    def __init__(self, op: str, places: bool = False) -> None: ...
    def __call__(self, x: ndarray, *, dim: int | None, keepdim: bool) -> object: ...

@final
class Reduction:
    def __init__(self, op: str, mean: bool = False, root: bool = False) -> None: ...
    def __call__(self, x: ndarray, *, dims: Sequence[int], keepdim: bool) -> ndarray: ...

def reduce(
    x: ndarray,
    op: str,
    dims: Sequence[int],
    keepdim: bool = False,
    mean: bool = False,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def extreme(
    x: ndarray,
    op: str,
    dim: int | None,
    keepdim: bool = False,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def scan(
    x: ndarray, dim: int, product: bool = False, *, isa: str | None = None, threads: int = 0
) -> ndarray: ...
def variance(
    x: ndarray,
    dims: Sequence[int],
    correction: float = 1.0,
    keepdim: bool = False,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def random_uniform(
    out: ndarray,
    seed: int,
    draw: int,
    low: float = 0.0,
    high: float = 1.0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def random_normal(
    out: ndarray,
    seed: int,
    draw: int,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def random_exponential(
    out: ndarray,
    seed: int,
    draw: int,
    rate: float = 1.0,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def random_bernoulli(
    out: ndarray,
    seed: int,
    draw: int,
    p: float,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def random_integers(
    out: ndarray,
    seed: int,
    draw: int,
    low: int,
    high: int,
    *,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def random_permutation(
    out: ndarray, seed: int, draw: int, *, isa: str | None = None
) -> ndarray: ...
def dropout(
    x: ndarray,
    seed: int,
    draw: int,
    p: float,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def batch_norm(
    x: ndarray,
    weight: ndarray | None = None,
    bias: ndarray | None = None,
    eps: float = 1e-5,
    *,
    stats: ndarray | None = None,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def batch_norm_fixed(
    x: ndarray,
    mean: ndarray,
    var: ndarray,
    weight: ndarray | None = None,
    bias: ndarray | None = None,
    eps: float = 1e-5,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def batch_norm_backward(
    dy: ndarray,
    x: ndarray,
    stats: ndarray,
    weight: ndarray | None = None,
    eps: float = 1e-5,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray, ndarray]: ...
def row_norm(
    x: ndarray,
    shape: Sequence[int],
    weight: ndarray | None = None,
    bias: ndarray | None = None,
    eps: float = 1e-5,
    centred: bool = True,
    *,
    stats: ndarray | None = None,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray]: ...
def rows_normed(
    x: ndarray,
    weight: ndarray,
    bias: ndarray,
    *,
    shape: Sequence[int],
    eps: float,
    centred: bool,
    stats: ndarray,
) -> object: ...
def max_pool_windows(x: ndarray, *, geom: Sequence[int]) -> object: ...
def avg_pool_windows(x: ndarray, *, geom: Sequence[int]) -> object: ...
def row_norm_backward(
    dy: ndarray,
    x: ndarray,
    shape: Sequence[int],
    stats: ndarray,
    weight: ndarray | None = None,
    eps: float = 1e-5,
    centred: bool = True,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> tuple[ndarray, ndarray, ndarray]: ...
def gather_rows(
    table: ndarray,
    index: ndarray,
    gaps: bool = False,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...
def scatter_rows(
    g: ndarray,
    index: ndarray,
    rows: int,
    *,
    out: ndarray | None = None,
    isa: str | None = None,
    threads: int = 0,
) -> ndarray: ...

@final
class ParamList: ...

def sgd_step(
    params: list[ndarray],
    grads: list[ndarray],
    bufs: list[ndarray] | None = None,
    *,
    steps: list[int] | None = None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def adam_step(
    params: list[ndarray],
    grads: list[ndarray],
    exp_avgs: list[ndarray],
    exp_avg_sqs: list[ndarray],
    max_exp_avg_sqs: list[ndarray] | None = None,
    *,
    steps: list[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def nadam_step(
    params: list[ndarray],
    grads: list[ndarray],
    exp_avgs: list[ndarray],
    exp_avg_sqs: list[ndarray],
    *,
    steps: list[int],
    mu_products: list[float],
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled: bool = False,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def radam_step(
    params: list[ndarray],
    grads: list[ndarray],
    exp_avgs: list[ndarray],
    exp_avg_sqs: list[ndarray],
    *,
    steps: list[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def rmsprop_step(
    params: list[ndarray],
    grads: list[ndarray],
    square_avgs: list[ndarray],
    bufs: list[ndarray] | None = None,
    grad_avgs: list[ndarray] | None = None,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def adagrad_step(
    params: list[ndarray],
    grads: list[ndarray],
    sums: list[ndarray],
    *,
    steps: list[int],
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def adadelta_step(
    params: list[ndarray],
    grads: list[ndarray],
    square_avgs: list[ndarray],
    acc_deltas: list[ndarray],
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def adamax_step(
    params: list[ndarray],
    grads: list[ndarray],
    exp_avgs: list[ndarray],
    exp_infs: list[ndarray],
    *,
    steps: list[int],
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    isa: str | None = None,
    threads: int = 0,
) -> None: ...
def sum_squares(arrays: list[ndarray], *, isa: str | None = None, threads: int = 0) -> float: ...
def scale(
    arrays: list[ndarray], factor: float, *, isa: str | None = None, threads: int = 0
) -> None: ...
def clamp(
    arrays: list[ndarray], low: float, high: float, *, isa: str | None = None, threads: int = 0
) -> None: ...
def join_pool() -> None: ...
def memory_stats() -> dict[str, int | bool]: ...
def empty_cache() -> None: ...
def reset_peak_memory_stats() -> None: ...
def set_memory_limit(bytes: int) -> None: ...
