"""`GradScaler`: losses are multiplied before `backward` so that float16 gradients do not vanish."""

import enum
import warnings
import weakref
from collections import abc

import numpy as np

from fastdl import _dtype
from fastdl._engine import TensorBase, tensor_of

__all__ = ["GradScaler"]


class OptState(enum.Enum):
    """What was done with an optimizer since the last `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Scales losses up and gradients down again, by a factor that adapts.

    Per iteration::

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)      # only if gradients are looked at, for clipping, say
        scaler.step(optimizer)          # skipped if a gradient is infinite or NaN
        scaler.update()

    Micikevicius et al. 2018, Mixed Precision Training.

    Args:
        device: "cpu" or "cuda"; without a GPU the latter disables the scaler, with a warning.
        init_scale: the factor at first.
        growth_factor: what `update` multiplies it with after `growth_interval` steps in a row
            without an infinite or NaN gradient. > 1.
        backoff_factor: what it multiplies it with after a step with one. < 1.
        growth_interval: see growth_factor.
        enabled: False makes `scale` return its argument and `step` call the optimizer.
    """

    def __init__(
        self,
        device="cuda",
        init_scale=2.0**16,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        enabled=True,
    ):
        self._device = device
        self._enabled = enabled
        if enabled and _dtype.device(device).type != "cpu":
            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but {str(device).upper()} is not "
                "available.  Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        if self._enabled:
            if not growth_factor > 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if not backoff_factor < 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._stages = weakref.WeakKeyDictionary()  # optimizer -> (OptState, was one not finite?)

    def scale(self, outputs):
        """`outputs`, a tensor or nested lists of them, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, TensorBase):
            return outputs * tensor_of(np.asarray(self._scale, np.float32))
        if isinstance(outputs, abc.Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer):
        """Divide the gradients of `optimizer` by the factor. At most once between updates.

        Raises:
            RuntimeError: it was done already, or after `step`.
            ValueError: a gradient is float16: parameters must be float32 or float64.
        """
        if not self._enabled:
            return
        stage, _ = self._stages.get(optimizer, (OptState.READY, False))
        if stage is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        overflowed = False
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                g = parameter.grad
                if g is None:
                    continue
                if g.array.dtype == np.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                g.mul_(1.0 / self._scale)
                overflowed = overflowed or not bool(np.isfinite(g.array).all())
        self._stages[optimizer] = (OptState.UNSCALED, overflowed)

    def step(self, optimizer, *args, **kwargs):
        """`optimizer.step(*args, **kwargs)`, unless a gradient is infinite or NaN: then None.

        Raises:
            RuntimeError: a closure is given, or `step` was called since the last `update`.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        stage, _ = self._stages.get(optimizer, (OptState.READY, False))
        if stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if stage is OptState.READY:
            self.unscale_(optimizer)
        overflowed = self._stages[optimizer][1]
        self._stages[optimizer] = (OptState.STEPPED, overflowed)
        return None if overflowed else optimizer.step(*args, **kwargs)

    def update(self, new_scale=None):
        """Adapt the factor, or set it to `new_scale`.

        Raises:
            AssertionError: no gradients were looked at since the last update.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._stages:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(overflowed for _, overflowed in self._stages.values()):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._stages.clear()

    def get_scale(self):
        """The factor; 1.0 if disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self):
        """See the class."""
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        """See the class."""
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        """See the class."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        """See the class."""
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        """See the class."""
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        """See the class."""
        self._growth_interval = new_interval

    def is_enabled(self):
        """Does it scale?"""
        return self._enabled

    def state_dict(self):
        """Factor, growth_factor, backoff_factor, growth_interval and the count of good steps; {} if
        disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict):
        """Go on from a `state_dict`; RuntimeError for an empty one, of a disabled scaler."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
