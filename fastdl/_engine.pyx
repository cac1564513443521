"""The autograd core."""
