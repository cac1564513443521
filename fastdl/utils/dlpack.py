"""``torch.utils.dlpack``: memory shared with other libraries."""

from fastdl.ops.exchange import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
