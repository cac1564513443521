"""Modules as functions of their parameters."""

from fastdl.ops.join import stack

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False
):
    """module(*args, **kwargs) with other parameters and buffers, which the module has only for this
    call.

    parameter_and_buffer_dicts: {name as in state_dict: Tensor}, or several of them with different
    names. args: a tuple, or the only argument. tie_weights: a Tensor given for one name of a tied
    parameter counts for its other names. strict: all names must be given, and no others.
    """
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        if not isinstance(given, (list, tuple)) or not all(isinstance(d, dict) for d in given):
            raise ValueError(
                "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but "
                f"got {type(given)}"
            )
        names = [name for part in given for name in part]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"{twice} appeared in multiple dictionaries; behavior of functional "
                             "call is ambiguous")  # fmt: skip
        given = {name: value for part in given for name, value in part.items()}
    places = _places(module)
    if strict and set(given) != set(places):
        missing, unexpected = sorted(set(places) - set(given)), sorted(set(given) - set(places))
        raise RuntimeError(
            f"functional_call: missing key(s): {missing}; unexpected key(s): {unexpected}"
        )
    values = {name: value for name, value in given.items() if name in places}
    if tie_weights:
        values = _tied(places, values)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    before = [(*places[name], places[name][0][places[name][1]]) for name in values]
    try:
        for name, value in values.items():
            table, key = places[name]
            table[key] = value
        return module(*args, **(kwargs or {}))
    finally:
        for table, key, value in before:
            table[key] = value


def _places(module):
    """name -> (dict that holds the parameter or buffer, key in it); every name of tied ones."""
    places = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, value in table.items():
                if value is not None:
                    places[f"{prefix}.{key}" if prefix else key] = table, key
    return places


def _tied(places, values):
    """`values` with those of the other names of tied parameters."""
    names = {}
    for name, (table, key) in places.items():
        names.setdefault(id(table[key]), []).append(name)
    full = dict(values)
    for group in names.values():
        given = [name for name in group if name in values]
        if len({id(values[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {given}, which are tied. Consider "
                "using tie_weights=False"
            )
        for name in group if given else ():
            full.setdefault(name, values[given[0]])
    return full


def stack_module_state(models):
    """(parameters, buffers) of several modules of one kind, as dicts of stacked Tensors.

    For ensembles: `vmap` a function that calls `functional_call` over them. Parameters are new
    leaves. RuntimeError for no modules, modules of several classes, or in different modes.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = _stacked([dict(m.named_parameters()) for m in models], True)
    return parameters, _stacked([dict(m.named_buffers()) for m in models], False)


def _stacked(states, leaves):
    found = {}
    for name, first in states[0].items():
        tensors = [state[name] for state in states]
        if len({t.requires_grad for t in tensors}) > 1:
            raise RuntimeError(f"Expected {name} of all models to have the same .requires_grad")
        value = stack(tensors)
        if leaves:
            value = value.detach().requires_grad_(first.requires_grad)
        found[name] = value
    return found


def replace_all_batch_norm_modules_(root):
    """Let all batch norms in `root` use the statistics of the batch and keep none; returns `root`.

    Running statistics are changed in place, which a function of the parameters may not do.
    """
    for part in root.modules():
        if hasattr(part, "running_mean") and hasattr(part, "track_running_stats"):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return root
