"""Nested tuples, lists and dicts of tensors: taken apart into leaves, and put together again."""

from collections import OrderedDict, defaultdict


def is_node(tree):
    """Is it a container that has leaves?"""
    return isinstance(tree, (tuple, list)) or type(tree) in (dict, OrderedDict, defaultdict)


def flatten(tree):
    """(leaves, spec): the leaves from left to right, and the rest for `unflatten`."""
    leaves = []
    return leaves, _take(tree, leaves)


def _take(tree, leaves):
    if not is_node(tree):
        leaves.append(tree)
        return None
    values = tree.values() if isinstance(tree, dict) else tree
    return tree, [_take(value, leaves) for value in values]


def unflatten(leaves, spec):
    """The tree of `spec` with these leaves."""
    return _put(iter(leaves), spec)


def _put(leaves, spec):
    if spec is None:
        return next(leaves)
    tree, parts = spec
    values = [_put(leaves, part) for part in parts]
    if isinstance(tree, defaultdict):
        return defaultdict(tree.default_factory, zip(tree, values))
    if isinstance(tree, dict):
        return type(tree)(zip(tree, values))
    if hasattr(tree, "_fields"):
        return type(tree)(*values)
    return list(values) if isinstance(tree, list) else tuple(values)


def tree_map(function, tree):
    """`function` of each leaf, in a tree of the same form."""
    leaves, spec = flatten(tree)
    return unflatten([function(leaf) for leaf in leaves], spec)


def broadcast(prefix, tree):
    """One value of `prefix` per leaf of `tree`, where a leaf of `prefix` stands for all below it;
    None if the forms do not fit.
    """
    if not is_node(prefix):
        return [prefix] * len(flatten(tree)[0])
    if not is_node(tree) or len(prefix) != len(tree):
        return None
    if isinstance(prefix, dict):
        if not isinstance(tree, dict) or prefix.keys() != tree.keys():
            return None
        pairs = [(prefix[key], tree[key]) for key in tree]
    elif isinstance(tree, dict):
        return None
    else:
        pairs = list(zip(prefix, tree))
    found = [broadcast(*pair) for pair in pairs]
    return None if None in found else [value for part in found for value in part]


def same_form(a, b):
    """Have two trees the same containers in the same places?"""
    if is_node(a) != is_node(b):
        return False
    if not is_node(a):
        return True
    if isinstance(a, dict) != isinstance(b, dict) or len(a) != len(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_form(a[key], b[key]) for key in a)
    return all(map(same_form, a, b))
