"""Rows for complex numbers (op_cases.py explains what a row is and gets). Inputs and results are
real: the parts of complex ones, so a row's gradients are what PyTorch's convention says of a
function of two real variables, to second order.
"""

from op_cases import Case, between, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


# fmt: off
away = lambda *shape: between(0.3, 2, *shape)  # off the branch cuts along the negative axis


def on_numbers(primitives, function, *inputs, name, **options):
    """A row for a function of complex tensors; `inputs`: what their parts are made as."""

    def run(t, *xs):
        y = function(t, *[t.complex(re, im) for re, im in zip(xs[::2], xs[1::2])])
        return t.view_as_real(y) if y.is_complex() else y

    parts = [part for part in inputs or [normal(3, 4)] for _ in range(2)]
    row(primitives, run, parts, name=name, **options)


row(
    "complex.numbers_of complex.pairs_of",
    lambda t, x: t.view_as_real(t.view_as_complex(x.contiguous()) * 2),
    [normal(2, 3, 2)],
    more=[[normal(2)]],
    bad=[
        (lambda t: t.view_as_complex(t.ones(3)), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, dtype=t.int64)), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, 4)[:, ::2]), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, 3)[:, :2]), RuntimeError),
        (lambda t: t.view_as_real(t.ones(2)), RuntimeError),
    ],
    name="complex view_as_complex",
)
row(
    "complex.complex_of complex.pairs_of",
    lambda t, x, y: t.view_as_real(t.complex(x, y) ** 2),
    [normal(3, 4), normal(3, 4)],
    more=[[normal(3, 1), normal(4)], [normal(), normal(2)]],
    bad=[
        (lambda t: t.complex(t.ones(2), t.ones(2, dtype=t.float64)), RuntimeError),
        (lambda t: t.complex(t.ones(2, dtype=t.int64), t.ones(2, dtype=t.int64)), RuntimeError),
        (lambda t: t.complex(t.ones(2), 1.0), TypeError),
    ],
    name="complex complex",
)
row(
    "complex.complex_of complex.pairs_of",
    lambda t, x, y: t.view_as_real(t.polar(x, y)),
    [between(0.3, 2, 3, 4), normal(3, 4)],
    more=[[between(0.3, 2, 3, 1), normal(4)]],
    bad=[(lambda t: t.polar(t.ones(2), t.ones(2, dtype=t.float64)), RuntimeError)],
    name="complex polar",
)
on_numbers("elementwise.conj_of", lambda t, z: z.conj() * z,
           name="complex conj")
on_numbers("elementwise.conj_of", lambda t, z: t.conj_physical(z), name="complex conj_physical")
on_numbers("elementwise.sgn elementwise.abs", lambda t, z: t.sgn(z) * z.abs().exp(),
           name="complex sgn")
row("elementwise.sgn", lambda t, x: x.detach().sgn(), [normal(3, 4)], order=0, name="real sgn")
on_numbers("complex.angle", lambda t, z: z.angle(), away(3, 4), name="complex angle")
row("complex.angle", lambda t, x: t.angle(x), [normal(3, 4)], order=0, name="real angle")
on_numbers("complex.pairs_of", lambda t, z: z.real * z.imag, name="complex real imag")
row("elementwise.abs", lambda t, x: t.isreal(t.complex(x, x * 0)), [normal(3)], order=0,
    name="complex isreal")
row("elementwise.mul", lambda t, x: t.real(x) * t.conj(x).resolve_conj().resolve_neg(), [normal(3)],
    bad=[(lambda t: t.imag(t.ones(2)), RuntimeError)], name="real real conj")

for text, primitive, function in [
    ("add", "elementwise.add_arrays", lambda t, a, b: a + b * 1j),
    ("sub", "elementwise.sub_arrays", lambda t, a, b: t.sub(a, b, alpha=2 - 1j)),
    ("mul", "elementwise.mul", lambda t, a, b: a * b),
    ("div", "elementwise.div_arrays", lambda t, a, b: a / b),
    ("pow", "elementwise.pow", lambda t, a, b: a**b),
    ("matmul", "linalg.matmul", lambda t, a, b: a @ b.mH),
    ("where", "elementwise.select", lambda t, a, b: t.where(a.real > 1, a, b) * b),
    ("einsum", "linalg.einsum_of", lambda t, a, b: t.einsum("ij,kj->ik", a, b)),
    ("cat", "join.concatenate", lambda t, a, b: t.cat([a, b], 1) * (2 + 1j)),
    ("eq", "elementwise.mul", lambda t, a, b: (a == b) | (a != b)),
]:
    on_numbers(
        primitive, function, away(3, 4), away(3, 4), name=f"complex {text}",
        order=0 if text == "eq" else 2,
    )
row(
    "elementwise.mul complex.complex_of",
    lambda t, x, y: (x * t.complex(x, y)).abs(),
    [normal(3, 1), normal(4)],
    name="real times complex",
)
row(
    "elementwise.pow complex.complex_of",
    lambda t, x, y: t.view_as_real((1.5 - 2j) ** t.complex(x, y) + t.complex(x, y) ** 2.5),
    [away(3), away(3)],
    name="complex number to a power",
)
for name in [
    "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid",
    "reciprocal", "square", "log2", "log10", "log1p", "expm1", "asin", "atan", "neg", "abs",
]:
    on_numbers(
        f"elementwise.{name}",
        lambda t, z, name=name: getattr(t, name)(z),
        between(0.2, 0.8, 3, 4),
        name=f"complex {name}",
    )
for text, primitive, function in [
    ("sum", "shape.sum_over", lambda t, z: z.sum(0)),
    ("mean", "reduce.mean_over", lambda t, z: z.mean(1, keepdim=True)),
    ("prod", "reduce.prod_over", lambda t, z: z.prod(1)),
    ("cumsum", "reduce.cumsum_along", lambda t, z: z.cumsum(1)),
    ("cumprod", "reduce.cumprod_along", lambda t, z: z.cumprod(1)),
    ("var", "reduce.var_over", lambda t, z: z.var(0) + z.std()),
    ("index", "index.take_at", lambda t, z: z[[0, 2, 0]]),
    ("roll", "join.roll_along", lambda t, z: z.roll(1, 0).flip(1).T.reshape(-1)),
    ("H", "elementwise.conj_of", lambda t, z: z.H + z.mT.conj()),
]:
    on_numbers(primitive, function, away(3, 4), name=f"complex {text}", exact=128)

# ---- Fourier transforms -------------------------------------------------------------------------


def spectrum(primitives, run, *inputs, **options):
    """A row for a transform of real inputs: the parts of its result."""

    def parts(t, *xs):
        y = run(t, *xs)
        return t.view_as_real(y.resolve_conj()) if y.is_complex() else y

    row(primitives, parts, list(inputs), exact=256, **options)


def of_parts(function):
    """A function of a complex tensor as one of its parts."""
    return lambda t, x, y: function(t, t.complex(x, y))


C2C, R2C, C2R = "fft.c2c", "fft.r2c", "fft.c2r"
for norm in (None, "ortho", "forward"):
    for n in (None, 3, 8):
        for text, primitive, kind in [
            ("fft", C2C, "c"), ("ifft", C2C, "c"), ("rfft", R2C, "r"), ("irfft", C2R, "c"),
            ("hfft", C2R, "c"), ("ihfft", R2C, "r"),
        ]:
            run = lambda t, x, text=text, n=n, norm=norm: getattr(t.fft, text)(x, n, 0, norm)
            inputs = [normal(5, 2)] * (2 if kind == "c" else 1)
            spectrum(primitive, of_parts(run) if kind == "c" else run, *inputs,
                     name=f"{text} {n} {norm}")
    for text, primitive, kind in [
        ("fft2", C2C, "c"), ("ifft2", C2C, "c"), ("rfft2", f"{R2C} {C2C}", "r"),
        ("irfft2", f"{C2C} {C2R}", "c"), ("hfft2", f"{C2C} {C2R}", "c"),
        ("ihfft2", f"{C2C} {R2C}", "r"),
    ]:
        run = lambda t, x, text=text, norm=norm: getattr(t.fft, text)(x, norm=norm)
        inputs = [normal(2, 3, 4)] * (2 if kind == "c" else 1)
        spectrum(primitive, of_parts(run) if kind == "c" else run, *inputs, name=f"{text} {norm}")
for text, kind in [("fftn", "c"), ("ifftn", "c"), ("rfftn", "r"), ("irfftn", "c"), ("hfftn", "c"),
                   ("ihfftn", "r")]:
    for s, dim in [(None, None), ((4, 3), None), ((2, 5), (2, 0)), (None, (1, 0)), (None, (1,))]:
        run = lambda t, x, text=text, s=s, dim=dim: getattr(t.fft, text)(x, s, dim)
        inputs = [normal(2, 3, 4)] * (2 if kind == "c" else 1)
        primitive = {"fftn": C2C, "ifftn": C2C, "rfftn": R2C, "ihfftn": R2C}.get(text, C2R)
        spectrum(primitive, of_parts(run) if kind == "c" else run, *inputs,
                 name=f"{text} {s} {dim}")
spectrum(C2C, lambda t, x: t.fft.fft(x), normal(5), name="fft of real numbers", bad=[
    (lambda t: t.fft.fft(t.ones(2, 0)), RuntimeError),
    (lambda t: t.fft.fft(t.ones(3), 0), RuntimeError),
    (lambda t: t.fft.fft(t.ones(3), norm="loud"), RuntimeError),
    (lambda t: t.fft.fft(t.ones(3), dim=1), IndexError),
    (lambda t: t.fft.rfft(t.ones(3, dtype=t.complex64)), RuntimeError),
    (lambda t: t.fft.irfft(t.ones(1)), RuntimeError),
    (lambda t: t.fft.fft(t.ones(3, dtype=t.bfloat16)), RuntimeError),
    (lambda t: t.fft.fftn(t.ones(3, 3), (2, 2), (0,)), RuntimeError),
    (lambda t: t.fft.fftn(t.ones(3, 3), dim=(0, 0)), RuntimeError),
    (lambda t: t.fft.fftn(t.ones(3), (2, 2)), RuntimeError),
])
spectrum(C2R, lambda t, x: t.fft.irfft(x), normal(5), name="irfft of real numbers")
row("join.roll_along", lambda t, x: t.fft.fftshift(x) * t.fft.ifftshift(x, 0), [normal(5, 4)],
    name="fftshift")
row("elementwise.mul", lambda t, x: x * t.fft.fftfreq(5, 0.5, dtype=x.real.dtype)
    + t.fft.rfftfreq(9, dtype=x.real.dtype), [normal(5)], name="fftfreq")
hann = lambda t, x, n=8: t.hann_window(n, dtype=x.real.dtype)
for i, options in enumerate([
    {}, {"hop_length": 3, "center": False}, {"normalized": True, "pad_mode": "constant"},
    {"onesided": False}, {"win_length": 6}, {"pad_mode": "replicate", "hop_length": 4},
    {"center": False, "win_length": 6, "align_to_window": True},
]):
    length = options.get("win_length", 8)
    options["return_complex"] = True
    run = lambda t, x, o=options, m=length: t.stft(x, 8, window=hann(t, x, m), **o)
    spectrum(C2C if options.get("onesided") is False else R2C, run, normal(21), name=f"stft {i}",
             more=[[normal(2, 30)]])
spectrum(C2C, of_parts(lambda t, x: t.stft(x, 8, window=hann(t, x))), normal(16), normal(16),
         name="stft of complex numbers")
row("shape.windows complex.pairs_of", lambda t, x: x.stft(8, 4, window=hann(t, x),
    return_complex=False), [normal(20)], exact=256, name="stft parts", bad=[
    (lambda t: t.stft(t.ones(20), 8, window=t.ones(8)), RuntimeError),
    (lambda t: t.stft(t.ones(20), 8, window=t.ones(7), return_complex=True), RuntimeError),
    (lambda t: t.stft(t.ones(20), 8, win_length=9, return_complex=True), RuntimeError),
    (lambda t: t.stft(t.ones(20), 40, center=False, return_complex=True), RuntimeError),
    (lambda t: t.stft(t.ones(20).long(), 8, return_complex=True), RuntimeError),
    (lambda t: t.stft(t.ones(20), 8, align_to_window=True, return_complex=True), RuntimeError),
    (lambda t: t.stft(t.ones(20), 8, 0, window=t.ones(8), return_complex=True), RuntimeError),
])
for i, options in enumerate([
    {}, {"hop_length": 4}, {"normalized": True, "length": 20}, {"length": 13}, {"win_length": 6},
    {"onesided": False}, {"onesided": False, "return_complex": True},
]):
    length = options.get("win_length", 8)
    run = of_parts(lambda t, x, o=options, m=length: t.istft(x, 8, window=hann(t, x, m), **o))
    count = 8 if options.get("onesided") is False else 5
    spectrum("shape.windows_add", run, normal(count, 9), normal(count, 9), name=f"istft {i}",
             more=[[normal(2, count, 9), normal(2, count, 9)]])
row("shape.windows_add", lambda t, x: t.istft(t.stft(x, 8, window=hann(t, x),
    return_complex=True), 8, window=hann(t, x), length=21), [normal(21)], exact=256,
    name="istft of stft", bad=[
    (lambda t: t.istft(t.ones(5, 9), 8), RuntimeError),
    (lambda t: t.istft(t.ones(6, 9, dtype=t.complex64), 8, window=t.ones(8)), RuntimeError),
    (lambda t: t.istft(t.ones(5, 9, dtype=t.complex64), 8, window=t.zeros(8)), RuntimeError),
    (lambda t: t.istft(t.ones(5, 9, dtype=t.complex64), 8, 9, window=t.ones(8)), RuntimeError),
])
for name in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
    for periodic in (True, False):
        row("elementwise.mul", lambda t, x, name=name, periodic=periodic: x * getattr(
            t, f"{name}_window")(7, periodic, dtype=x.real.dtype), [normal(7)],
            name=f"{name}_window {periodic}", bad=[
            (lambda t, name=name: getattr(t, f"{name}_window")(-1), RuntimeError),
            (lambda t, name=name: getattr(t, f"{name}_window")(3, dtype=t.int64), RuntimeError),
        ])
row("elementwise.mul", lambda t, x: x * t.hamming_window(4, False, 0.5, 0.3, dtype=x.real.dtype)
    * t.kaiser_window(4, True, 3.0, dtype=x.real.dtype) * t.hann_window(1, dtype=x.real.dtype),
    [normal(4)], name="windows with factors")
on_numbers(
    "elementwise.logaddexp",
    lambda t, x, y: t.logaddexp(x, y),
    normal(3, 4),
    normal(3, 4),
    more=[[normal(3, 1)] * 2 + [normal(4)] * 2, [normal(), normal(), normal(2), normal(2)]],
    exact=256,
    name="complex logaddexp",
)
