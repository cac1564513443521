"""What reading a checkpoint can raise."""


class CheckpointError(RuntimeError):
    """A file is no readable checkpoint; the message names the file and what is wrong with it."""
