"""Recurrent layers and cells: RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math
import numbers
import warnings

import numpy as np

from fastdl._engine import is_autocast_enabled
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.nn.utils.rnn import PackedSequence
from fastdl.ops.creation import empty, zeros
from fastdl.ops.rnn import GATES, check_step, layered, recurrent, state_pair
from fastdl.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

CELLS = {"RNN_TANH": "tanh", "RNN_RELU": "relu", "LSTM": "lstm", "GRU": "gru"}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


def _reset(module):
    """U(-k, k), k = 1 / sqrt(hidden_size), for all parameters."""
    bound = 1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, checks, layers and directions.

    The parameters of layer k are ``weight_ih_l{k}`` (G H, in), ``weight_hh_l{k}`` (G H, P),
    ``bias_ih_l{k}``, ``bias_hh_l{k}`` (G H,) and ``weight_hr_l{k}`` (P, H) with a projection,
    those of the other direction end in ``_reverse``; H is `hidden_size`, P `proj_size` or else H, G
    the number of gates (1, LSTM 4, GRU 3). They start from U(-k, k), k = 1 / sqrt(hidden_size).

    Raises:
        TypeError, ValueError: an argument of a wrong type or value.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if (
            not isinstance(dropout, numbers.Number)
            or isinstance(dropout, bool)
            or not 0 <= dropout <= 1
        ):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=2,
            )
        for name, value, kind in (
            ("bias", bias, bool),
            ("batch_first", batch_first, bool),
            ("input_size", input_size, int),
            ("hidden_size", hidden_size, int),
        ):
            if not isinstance(value, kind):
                raise TypeError(
                    f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
                )
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in CELLS:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        rows, state = GATES[CELLS[mode]] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights = []
        for layer in range(num_layers):
            shapes = {
                "weight_ih": (rows, input_size if layer == 0 else state * directions),
                "weight_hh": (rows, state),
                **({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}),
                **({"weight_hr": (proj_size, hidden_size)} if proj_size else {}),
            }
            for suffix in ("", "_reverse")[:directions]:
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
                for name, shape in zip(self._all_weights[-1], shapes.values()):
                    setattr(self, name, Parameter(empty(*shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        _reset(self)

    def flatten_parameters(self) -> None:
        """For PyTorch's programs: does nothing, as there on a CPU."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [w for weights in self.all_weights for w in weights]

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != usual:
                shown += f", {name}={getattr(self, name)}"
        return shown

    # ---- checks, under PyTorch's names

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """ValueError or RuntimeError for an input of another dtype or shape than expected."""
        dtype = self.weight_ih_l0.dtype
        if input.dtype != dtype and not is_autocast_enabled():
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.shape[-1]:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.shape[-1]}"
            )

    def get_expected_hidden_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of h for this input."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0 if self.batch_first else 1]
        directions = 2 if self.bidirectional else 1
        return self.num_layers * directions, batch, self.proj_size or self.hidden_size

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """RuntimeError, worded by `msg`, unless hx has the expected shape."""
        if tuple(hx.shape) != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Tensor, batch_sizes: Tensor | None) -> None:
        """Raises what does not fit of input and initial state."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Tensor, permutation: Tensor | None) -> Tensor:
        """States (layers, N, H) of sequences in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # ---- what is computed

    def _batched(self, input, hx):
        """The input and its batch sizes, checked, and the initial states (a tuple) of sequences in
        the order of the input, or None."""
        name = type(self).__name__ if self.mode in ("LSTM", "GRU") else "RNN"
        if isinstance(input, PackedSequence):
            return input.data, input.batch_sizes, hx
        if input.dim() not in (2, 3):
            tensor = " tensor" if name == "RNN" else ""
            raise ValueError(
                f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{tensor} instead"
            )
        if hx is not None and any(h.dim() != input.dim() for h in hx):
            batched = "batched" if input.dim() == 3 else "unbatched"
            got = ", ".join([f"{h.dim()}-D" for h in hx])
            if self.mode == "LSTM":
                raise RuntimeError(
                    f"For {batched} {input.dim()}-D input, hx and cx should also be "
                    f"{input.dim()}-D but got ({got}) tensors"
                )
            raise RuntimeError(
                f"For {batched} {input.dim()}-D input, hx should also be {input.dim()}-D but got "
                f"{got} tensor"
            )
        if input.dim() == 2:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = None if hx is None else tuple([h.unsqueeze(1) for h in hx])
        return input, None, hx

    def _initial(self, input, batch_sizes):
        """Zeros for h and, of an LSTM, for c."""
        layers, batch, size = self.get_expected_hidden_size(input, batch_sizes)
        sizes = (size, self.hidden_size) if self.mode == "LSTM" else (size,)
        return tuple([zeros(layers, batch, n, dtype=input.dtype) for n in sizes])

    def _run(self, given, hx):
        """Output and last states (a tuple) for an input, batched, packed or neither."""
        input, batch_sizes, states = self._batched(given, hx)
        if states is None:
            self.check_input(input, batch_sizes)
            states = self._initial(input, batch_sizes)
        else:
            self.check_forward_args(
                input, states if self.mode == "LSTM" else states[0], batch_sizes
            )
        if batch_sizes is not None:
            if given.sorted_indices is not None:
                states = tuple([self.permute_hidden(h, given.sorted_indices) for h in states])
            output, states = self._layers(input, states, batch_sizes.array)
            if given.unsorted_indices is not None:
                states = tuple([self.permute_hidden(h, given.unsorted_indices) for h in states])
            return given._replace(data=output), states
        if self.batch_first:
            input = input.transpose(0, 1)
        steps, batch, _ = input.shape
        if steps == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        rows = input.reshape(steps * batch, self.input_size)
        output, states = self._layers(rows, states, np.full(steps, batch))
        output = output.reshape(steps, batch, output.shape[-1])
        if self.batch_first:
            output = output.transpose(0, 1)
        if given.dim() == 2:
            output = output.squeeze(0 if self.batch_first else 1)
            states = tuple([h.squeeze(1) for h in states])
        return output, states

    def _layers(self, x, states, sizes):
        """All layers on rows in packed order: the output (rows, directions P) and last states."""
        weights = []
        for names in self._all_weights:
            w = {name.split("_l")[0]: getattr(self, name) for name in names}
            weights.append([w.get(name) for name in WEIGHTS])
        dropout = self.dropout if self.training else 0.0
        return layered(x, states, weights, CELLS[self.mode], sizes, dropout, self.bidirectional)

    def forward(self, input, hx=None):
        """Output (T, N, D P), or (N, T, D P) if `batch_first`, or (T, D P) of an unbatched input,
        or packed as the input; D: directions. And the last states (layers D, N, P)."""
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class RNN(RNNBase):
    """An Elman network, h_t = f(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh), f tanh or relu.

    Elman 1990. See :class:`RNNBase` for the parameters.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: each but the first takes the output of the one before. Default: 1.
        nonlinearity: "tanh" or "relu". Default: "tanh".
        bias: whether there are biases. Default: True.
        batch_first: input and output are (N, T, features) rather than (T, N, features).
            Default: False.
        dropout: probability of zeroing what goes from layer to layer in training. Default: 0.
        bidirectional: a second network runs from the end; outputs are joined. Default: False.
    """

    def __init__(self, *args, **kwargs) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory; the equations stand in `fastdl.ops.rnn`.

    Hochreiter and Schmidhuber 1997; projections: Sak et al. 2014. `forward(input, (h_0, c_0))`
    returns output and (h_n, c_n).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of
            :class:`RNN`.
        proj_size: if positive, states are projected to so many features. Default: 0.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of c for this input."""
        return *self.get_expected_hidden_size(input, batch_sizes)[:2], self.hidden_size

    def check_forward_args(
        self, input: Tensor, hidden: tuple[Tensor, Tensor], batch_sizes: Tensor | None
    ) -> None:
        self.check_input(input, batch_sizes)
        self.check_hidden_size(
            hidden[0],
            self.get_expected_hidden_size(input, batch_sizes),
            "Expected hidden[0] size {}, got {}",
        )
        self.check_hidden_size(
            hidden[1],
            self.get_expected_cell_size(input, batch_sizes),
            "Expected hidden[1] size {}, got {}",
        )

    def permute_hidden(self, hx, permutation):
        """One state, or the tuple of both, of sequences in another order."""
        if isinstance(hx, tuple):
            return tuple([super(LSTM, self).permute_hidden(h, permutation) for h in hx])
        return super().permute_hidden(hx, permutation)

    def forward(self, input, hx=None):
        """As of :class:`RNN`, with the pair (h, c) for the states."""
        return self._run(input, None if hx is None else (hx[0], hx[1]))


class GRU(RNNBase):
    """Gated recurrent units; the equations stand in `fastdl.ops.rnn`.

    Cho et al. 2014, with the reset gate after the product, as in PyTorch.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of
            :class:`RNN`.
    """

    def __init__(self, *args, **kwargs) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """What the cells share: ``weight_ih`` (G H, in), ``weight_hh`` (G H, H), ``bias_ih`` and
    ``bias_hh`` (G H,), from U(-k, k), k = 1 / sqrt(hidden_size)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        like, rows = {"device": device, "dtype": dtype}, num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, **like))
        self.weight_hh = Parameter(empty(rows, hidden_size, **like))
        if bias:
            self.bias_ih = Parameter(empty(rows, **like))
            self.bias_hh = Parameter(empty(rows, **like))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        _reset(self)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            shown += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            shown += f", nonlinearity={self.nonlinearity}"
        return shown

    def _next(self, cell, input, states, names):
        """The states (a tuple) after one step from `states` (None: zeros), checked."""
        owner = type(self).__name__
        for name, x in (("input", input), *zip(names, states or ())):
            if x.dim() not in (1, 2):
                raise ValueError(f"{owner}: Expected {name} to be 1D or 2D, got {x.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
            states = None if states is None else tuple([h.unsqueeze(0) for h in states])
        if states is None:
            shape = input.shape[0], self.hidden_size
            states = tuple([zeros(*shape, dtype=input.dtype) for _ in names])
        check_step(input, states, self.input_size, self.hidden_size)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, None)
        h, *c = states
        sizes = np.array([len(input)])
        found = recurrent(input, h, c[0] if c else None, weights, cell, sizes)[1:]
        found = found[: len(names)]
        return found if batched else tuple([h.squeeze(0) for h in found])


class RNNCell(RNNCellBase):
    """One step of an :class:`RNN`: input (N, in) or (in,) and h (N, H) or (H,) -> the next h.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases. Default: True.
        nonlinearity: "tanh" or "relu". Default: "tanh".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        states = None if hx is None else (hx,)
        return self._next(self.nonlinearity, input, states, ("hidden",))[0]


class LSTMCell(RNNCellBase):
    """One step of an :class:`LSTM`: input (N, in) or (in,) and (h, c) -> the next (h, c).

    Args:
        input_size, hidden_size, bias: as of :class:`RNNCell`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device=device, dtype=dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        states = None if hx is None else state_pair(hx)
        return self._next("lstm", input, states, ("hx[0]", "hx[1]"))


class GRUCell(RNNCellBase):
    """One step of a :class:`GRU`: input (N, in) or (in,) and h (N, H) or (H,) -> the next h.

    Args:
        input_size, hidden_size, bias: as of :class:`RNNCell`.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._next("gru", input, None if hx is None else (hx,), ("hidden",))[0]
