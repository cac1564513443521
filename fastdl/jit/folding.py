"""Which batch norms see the output of one layer and nothing else, where nothing else sees that.

What calls a model's layers is Python, so this is read from the sources of its classes. A pair is
taken where it can be shown that the two always run one after the other. All that is unclear counts
against it: a source that is missing or is not what runs, ``self`` or a layer that is passed on,
stored or reached by a name made at run time.
"""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import itertools
import textwrap
import types
from collections import Counter
from collections.abc import Callable, Iterator

from fastdl.nn.container import ModuleDict, ModuleList, Sequential
from fastdl.nn.module import Module

__all__ = ["foldable"]

# By any of these a method may reach layers without writing their names.
INDIRECT = {
    "__dict__",
    "_modules",
    "children",
    "getattr",
    "get_submodule",
    "modules",
    "named_children",
    "named_modules",
    "super",
    "vars",
}
CONTAINERS = (Sequential, ModuleList, ModuleDict)


class Unclear(Exception):
    """The sources do not say what a class does with its layers."""


def foldable(root: Module, exposed, fits: Callable) -> list[tuple[Module, str, str]]:
    """(parent, name of a layer, name of a norm) for the pairs inside `root` that could be one.

    Args:
        root: a model that nobody else holds.
        exposed: names of its attributes that others will use.
        fits: (layer, norm) -> whether the layer could do the norm's work.
    """
    modules = list(root.modules())
    private = only_in_their_places(modules)
    try:
        uses = {type(m): Uses(type(m)) for m in modules if m._module_names and not in_order(m)}
    except Unclear:
        return []
    foreign = set().union(exposed, *(u.foreign for u in uses.values()))
    sealed = {root} & private  # those that are called by their parent, and else left alone
    for parent in modules:  # parents come before their children
        if parent in sealed:
            loose = uses[type(parent)].loose | foreign if type(parent) in uses else set()
            sealed |= {m for k, m in parent._modules.items() if m in private and k not in loose}
    found = []
    for parent in modules:
        if parent not in sealed or parent._hooked:
            continue
        children = parent._modules
        if in_order(parent):
            pairs = itertools.pairwise(children)
        else:
            pairs = uses[type(parent)].pairs if type(parent) in uses else ()
        for names in pairs:
            layer, norm = (children.get(name) for name in names)
            free = {layer, norm} <= sealed and not (layer._hooked or norm._hooked)
            if free and fits(layer, norm):
                found.append((parent, *names))
    return found


def in_order(module: Module) -> bool:
    """Does it call its children one after the other, and nothing else?"""
    kind = type(module)
    return (
        kind.forward is Sequential.forward
        and kind.__call__ is Module.__call__
        and not {"forward", "__call__"} & module.__dict__.keys()
    )


def only_in_their_places(modules: list[Module]) -> set[Module]:
    """Those to which nothing refers but one parent, once, as a registered child."""
    tree = {id(m): m for m in modules}
    parents = {id(m): m for m in modules} | {id(m.__dict__): m for m in modules}
    own = {id(modules), id(tree), id(parents)}
    count = Counter()
    for holder in gc.get_referrers(*modules):
        if id(holder) in own or isinstance(holder, types.FrameType):
            continue
        children = parents[id(holder)]._modules.values() if id(holder) in parents else ()
        registered = {id(child) for child in children}
        for x in gc.get_referents(holder):
            if id(x) in tree:
                count[id(x)] += 1 if id(x) in registered else 2
    return {m for m in modules if count[id(m)] == (m is not modules[0])}


class Uses:
    """What the methods of a class that run when it is called do with attributes.

    pairs: (a, b) where ``self.b(self.a(x))`` is all that is done with either; loose: names of
    which something else than a call of ``self.name`` is made; foreign: names that are attributes
    of something else than ``self``.
    """

    def __init__(self, kind: type) -> None:
        self.loose, self.foreign = set(), set()
        called, pairs = Counter(), []
        if hasattr(kind, "__getattr__"):
            raise Unclear
        todo, done = ["forward", "__call__"], set()
        while todo:
            name = todo.pop()
            if name not in done:
                done.add(name)
                for function in methods(kind, name):
                    tree = source_of(function)
                    todo += self.read(tree, called)
                    pairs += successive_calls(tree)
        once = {k for k, n in called.items() if n == 1} - self.loose
        self.pairs = [pair for pair in pairs if once >= {*pair}]

    def read(self, tree: ast.FunctionDef, called: Counter) -> set[str]:
        """Notes what `tree` does with attributes; returns the names of those of ``self``."""
        names = set()
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        arguments = [*tree.args.posonlyargs, *tree.args.args]
        own = arguments[0].arg if arguments else None
        for node in ast.walk(tree):
            around = parents.get(node)
            if isinstance(node, ast.Name):
                inside = isinstance(around, ast.Attribute)
                if node.id in INDIRECT or (node.id == own and not inside):
                    raise Unclear
            if not isinstance(node, ast.Attribute):
                continue
            if node.attr in INDIRECT:
                raise Unclear
            if not (isinstance(node.value, ast.Name) and node.value.id == own):
                self.foreign.add(node.attr)
                continue
            names.add(node.attr)
            if isinstance(around, ast.Call) and around.func is node:
                called[node.attr] += 1
            elif not is_test(node, around):
                self.loose.add(node.attr)
        return names


def methods(kind: type, name: str) -> Iterator[types.FunctionType]:
    """The functions behind attribute `name` of a class, in it and in its bases."""
    for base in kind.__mro__:
        if base in CONTAINERS or issubclass(Module, base) or name not in vars(base):
            continue
        value = vars(base)[name]
        if isinstance(value, types.FunctionType):
            yield value
        elif callable(value) or hasattr(value, "__get__"):
            raise Unclear


def source_of(function: types.FunctionType) -> ast.FunctionDef:
    """The definition of `function`; raises Unclear unless its file compiles to what runs."""
    code = function.__code__
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        found = codes_of("".join(inspect.findsource(function)[0])).get(identity(code))
    except (OSError, TypeError, SyntaxError):
        found = None
    if found is None or (found.co_code, found.co_names) != (code.co_code, code.co_names):
        raise Unclear
    return definition


def identity(code: types.CodeType) -> tuple:
    return code.co_name, code.co_firstlineno, code.co_varnames


@functools.lru_cache(maxsize=8)
def codes_of(source: str) -> dict[tuple, types.CodeType]:
    """What a file compiles to, function by function."""
    found, todo = {}, [compile(source, "<source>", "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        found[identity(code)] = code
        todo += [x for x in code.co_consts if isinstance(x, types.CodeType)]
    return found


def is_test(node: ast.Attribute, around: ast.AST) -> bool:
    """Is an attribute only compared with None, or asked whether it is true?"""
    if isinstance(around, ast.Compare):
        others = [around.left, *around.comparators]
        return all(
            x is node or (isinstance(x, ast.Constant) and x.value is None) for x in others
        ) and all(isinstance(op, (ast.Is, ast.IsNot)) for op in around.ops)
    if isinstance(around, (ast.If, ast.IfExp)):
        return around.test is node
    return isinstance(around, ast.UnaryOp) and isinstance(around.op, ast.Not)


def call_of(node: ast.AST | None) -> tuple[str, ast.AST] | None:
    """(a, x) if `node` is a call ``name.a(x)``."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and len(node.args) == 1
        and not node.keywords
        and not isinstance(node.args[0], ast.Starred)
    ):
        return node.func.attr, node.args[0]
    return None


def assigned(statement: ast.AST) -> tuple[str, str, ast.AST] | None:
    """(v, a, x) if `statement` is ``v = name.a(x)``."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target, call = statement.targets[0], call_of(statement.value)
    return (target.id, *call) if isinstance(target, ast.Name) and call else None


def successive_calls(tree: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """(a, b) for ``self.b(self.a(x))``, and for ``v = self.a(x)`` before ``v = self.b(v)``."""
    for node in ast.walk(tree):
        outer = call_of(node)
        inner = outer and call_of(outer[1])
        if inner:
            yield inner[0], outer[0]
        for statements in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            if not isinstance(statements, list):
                continue
            for before, after in itertools.pairwise(statements):
                first, second = assigned(before), assigned(after)
                if first and second and first[0] == second[0] == getattr(second[2], "id", None):
                    yield first[1], second[1]
