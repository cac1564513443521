"""Transforms from unconstrained numbers onto constraints: `biject_to(c)` and `transform_to(c)`."""

from fastdl.distributions import constraints, transforms

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """Finds a transform for a constraint; `register` adds one for a class of constraints."""

    def __init__(self):
        self._registry = {}

    def register(self, constraint, factory=None):
        """Decorator or function: `factory(constraint)` gives the transform for a constraint of
        this class, or for this very one.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint):
        for key in (constraint, *type(constraint).__mro__):
            if key in self._registry:
                return self._registry[key](constraint)
        raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _onto_range(c):
    """The transform onto numbers between bounds."""
    low, high = c.lower_bound, c.upper_bound
    if c.is_discrete:
        raise NotImplementedError(f"Cannot transform {c!r} constraints")
    if low is not None and high is not None:
        if not hasattr(low, "array") and (low, high) == (0, 1):
            return transforms.SigmoidTransform()
        steps = [transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)]
        return transforms.ComposeTransform(steps)
    start, sign = (low, 1) if high is None else (high, -1)
    steps = [transforms.ExpTransform(), transforms.AffineTransform(start, sign)]
    plain = sign == 1 and not hasattr(start, "array") and start == 0
    return transforms.ExpTransform() if plain else transforms.ComposeTransform(steps)


def _onto_independent(registry):
    def factory(c):
        inner = registry(c.base_constraint)
        return transforms.IndependentTransform(inner, c.reinterpreted_batch_ndims)

    return factory


for _registry in (biject_to, transform_to):
    _registry.register(type(constraints.real), lambda c: transforms.identity_transform)
    _registry.register(constraints.independent, _onto_independent(_registry))
    _registry.register(type(constraints.positive), _onto_range)
    _registry.register(
        type(constraints.corr_cholesky), lambda c: transforms.CorrCholeskyTransform()
    )
    _registry.register(
        type(constraints.lower_cholesky), lambda c: transforms.LowerCholeskyTransform()
    )
    _registry.register(
        type(constraints.positive_definite), lambda c: transforms.PositiveDefiniteTransform()
    )
    _registry.register(
        constraints.cat,
        lambda c, r=_registry: transforms.CatTransform(
            [r(part) for part in c.cseq], c.dim, c.lengths
        ),
    )
    _registry.register(
        constraints.stack,
        lambda c, r=_registry: transforms.StackTransform([r(part) for part in c.cseq], c.dim),
    )
biject_to.register(type(constraints.simplex), lambda c: transforms.StickBreakingTransform())
transform_to.register(type(constraints.simplex), lambda c: transforms.SoftmaxTransform())
