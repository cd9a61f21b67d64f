"""Writes `neuro_sdk/_sync.py`, the client without ``await``, off the asynchronous client; `docs/generate.py` runs it.

A class is followed when it is reached from ``Client`` and has something asynchronous about it. Its public members keep
their names, parameters and documentation:

    async def f(...) -> T                    ->  def f(...) -> T
    def f(...) -> AsyncIterator[T] and alike  ->  def f(...) -> Items[T]
    @asynccontextmanager async def f(...)    ->  def f(...) -> AbstractContextManager[T]
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Final, TypeVar, get_args, get_origin

ROOTS: Final = (("neuro_sdk.client", "Client"),)
FOLLOWED: Final = ("StdStream",)  # besides the parts of a client, whose constructors are not public

_HEAD: Final = '''\
"""The client without ``await``: each call runs in the portal's loop while the caller waits.

This module is generated from the asynchronous classes by `docs/sync_client.py`: `make docs` writes it.
"""

from __future__ import annotations

{imports}

'''
_ITERATORS: Final = ("AsyncIterator", "AsyncGenerator", "AsyncIterable", "Listing", "Flow")
_MANAGERS: Final = ("AbstractAsyncContextManager",)


class _Source:
    """A module's text: what its names are, and where they come from."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        self.imports: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = f"from {node.module} import {_aliased(alias)}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name.partition(".")[0]] = f"import {_aliased(alias)}"
        for node in self.tree.body:
            names = [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else []
            names += [t.id for t in _targets(node) if isinstance(t, ast.Name)]
            for defined in names:
                self.imports[defined] = f"from {name} import {defined}"

    def class_(self, name: str) -> ast.ClassDef:
        return next(node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name)


class _Given(ast.NodeTransformer):
    """Puts what a class gives its generic base in the place of the base's type variables."""

    def __init__(self, cls: type, base: type) -> None:
        bases = [one for member in cls.__mro__ for one in vars(member).get("__orig_bases__", ())]
        given = next((get_args(one) for one in bases if get_origin(one) is base), ())
        self._names = {var.__name__: arg.__name__ for var, arg in zip(_variables(base), given, strict=False)}
        self.imports = {arg.__name__: f"from {arg.__module__} import {arg.__name__}" for arg in given}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._names.get(node.id, node.id), node.ctx), node)


class _Writer:
    def __init__(self) -> None:
        self.sources: dict[str, _Source] = {}
        self.needed: set[str] = set()  # import statements
        self.made: dict[str, str] = {}  # class name -> its text
        self.queue: list[type] = []

    def write(self) -> str:
        for module, name in ROOTS:
            self.queue.append(getattr(importlib.import_module(module), name))
        while self.queue:
            cls = self.queue.pop(0)
            if cls.__name__ not in self.made:
                self.made[cls.__name__] = ""
                self.made[cls.__name__] = self._class(cls)
        self.needed |= {
            "from functools import cached_property",
            "from contextlib import AbstractContextManager",
            "from typing import Self",
            "from neuro_sdk._portal import Items, Portal",
        }
        body = "\n\n".join(self.made.values())
        return _formatted(_HEAD.format(imports="\n".join(sorted(self.needed))) + body)

    def _class(self, cls: type) -> str:
        source = self._source(cls.__module__)
        self.needed.add(f"from {cls.__module__} import {cls.__name__} as Async{cls.__name__}")
        lines = [
            f"class {cls.__name__}:",
            _docstring(ast.get_docstring(source.class_(cls.__name__)) or "", 4),
            f"    def __init__(self, portal: Portal, inner: Async{cls.__name__}) -> None:",
            "        self._portal = portal",
            "        self._inner = inner",
        ]
        for node, origin in self._members(cls):
            lines += ["", *self._member(node, origin)]
        if hasattr(cls, "close"):
            lines += [
                "",
                "    def __enter__(self) -> Self:",
                "        return self",
                "",
                "    def __exit__(self, *_: object) -> None:",
                "        self.close()",
            ]
        return "\n".join(lines) + "\n"

    def _members(self, cls: type) -> Iterator[tuple[ast.stmt, _Source]]:
        """Public members, bases' first; of one defined twice the nearest, unless that is only declared."""
        found: dict[str, tuple[ast.stmt, _Source]] = {}
        for base in reversed(cls.__mro__):
            if not base.__module__.startswith("neuro_sdk."):
                continue
            source = self._source(base.__module__)
            given = _Given(cls, base)
            source.imports |= given.imports
            for node in given.visit(copy.deepcopy(source.class_(base.__name__))).body:
                name = _name(node)
                if name is not None and not name.startswith("_"):
                    found[name] = node, source
        yield from found.values()

    def _member(self, node: ast.stmt, source: _Source) -> list[str]:
        if isinstance(node, ast.AnnAssign):
            name = _name(node)
            return [
                "    @property",
                f"    def {name}(self) -> {self._type(node.annotation, source)}:",
                f"        return self._inner.{name}",
            ]
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.returns is None:
            raise TypeError(f"No way to write {ast.unparse(node)} without await: it needs a type")
        decorators = {ast.unparse(item).rpartition(".")[2] for item in node.decorator_list}
        text = _docstring(ast.get_docstring(node) or "", 8)
        if decorators & {"property", "cached_property"}:
            return self._property(node, node.returns, source, text)
        call = f"self._inner.{node.name}({_passed(node.args)})"
        managers = _argument(node.returns, _MANAGERS)
        iterators = _argument(node.returns, _ITERATORS)
        if decorators & {"asynccontextmanager"}:
            returns, body = self._entered(iterators or node.returns, call, source)
        elif managers is not None:
            returns, body = self._entered(managers, call, source)
        elif iterators is not None and isinstance(node, ast.FunctionDef):
            returns, body = f"Items[{self._type(iterators, source)}]", f"return self._portal.iterate({call})"
        elif isinstance(node, ast.AsyncFunctionDef):
            returns, body = self._type(node.returns, source), f"return self._portal.call({call})"
        else:
            returns, body = self._type(node.returns, source), f"return {call}"
        head = f"    def {node.name}({self._parameters(node.args, source)}) -> {returns}:"
        return [
            head,
            *([text] if text else []),
            f"        {body if returns != 'None' else body.removeprefix('return ')}",
        ]

    def _property(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, returns: ast.expr, source: _Source, text: str
    ) -> list[str]:
        part = self._followed(returns, source)
        if part is None:
            returned = self._type(returns, source)
            body = [f"        return self._inner.{node.name}"]
            return ["    @property", f"    def {node.name}(self) -> {returned}:", *([text] if text else []), *body]
        body = [f"        return {part}(self._portal, self._inner.{node.name})"]
        return ["    @cached_property", f"    def {node.name}(self) -> {part}:", *([text] if text else []), *body]

    def _entered(self, given: ast.expr, call: str, source: _Source) -> tuple[str, str]:
        part = self._followed(given, source)
        if part is None:
            return f"AbstractContextManager[{self._type(given, source)}]", f"return self._portal.enter({call})"
        return f"AbstractContextManager[{part}]", f"return self._portal.enter_as({call}, {part})"

    def _followed(self, annotation: ast.expr, source: _Source) -> str | None:
        """The name of the class without ``await`` for an annotation that is such a class."""
        if not isinstance(annotation, ast.Name) or not (found := source.imports.get(annotation.id)):
            return None
        if not found.startswith("from neuro_sdk"):
            return None
        module, _, name = found.removeprefix("from ").partition(" import ")
        cls = getattr(importlib.import_module(module), name, None)
        if not isinstance(cls, type) or not (name in FOLLOWED or _is_part(cls)):
            return None
        self.queue.append(cls)
        return name

    def _type(self, annotation: ast.expr, source: _Source) -> str:
        self._need(annotation, source)
        return ast.unparse(annotation)

    def _parameters(self, args: ast.arguments, source: _Source) -> str:
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]:
            if arg.annotation is not None:
                self._need(arg.annotation, source)
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self._need(default, source)
        return ast.unparse(args)

    def _need(self, expression: ast.expr, source: _Source) -> None:
        for node in ast.walk(expression):
            if isinstance(node, ast.Name) and node.id in source.imports:
                self.needed.add(source.imports[node.id])

    def _source(self, module: str) -> _Source:
        return self.sources.setdefault(module, _Source(module))


def _variables(cls: type) -> tuple[TypeVar, ...]:
    return getattr(cls, "__parameters__", ())


def _is_part(cls: type) -> bool:
    from neuro_sdk._private import NoPublicConstructor

    is_async = any(
        inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
        for base in cls.__mro__
        for member in vars(base).values()
        if isinstance(member, FunctionType)
    )
    return isinstance(cls, NoPublicConstructor) and is_async


def _argument(annotation: ast.expr | None, names: tuple[str, ...]) -> ast.expr | None:
    """``T`` of ``Name[T]`` or ``Name[T, …]`` for one of the names."""
    if not isinstance(annotation, ast.Subscript):
        return None
    if ast.unparse(annotation.value).rpartition(".")[2] not in names:
        return None
    return annotation.slice.elts[0] if isinstance(annotation.slice, ast.Tuple) else annotation.slice


def _passed(args: ast.arguments) -> str:
    by_position = [arg.arg for arg in [*args.posonlyargs, *args.args]][1:]
    rest = [f"*{args.vararg.arg}"] if args.vararg else []
    by_name = [f"{arg.arg}={arg.arg}" for arg in args.kwonlyargs]
    return ", ".join([*by_position, *rest, *by_name])


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return None


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _aliased(alias: ast.alias) -> str:
    return alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"


def _docstring(text: str, indent: int) -> str:
    if not text:
        return ""
    text = text.replace("``async with``", "``with``").replace("``async for``", "``for``")
    body = text if "\n" not in text else f"{text}\n"
    return textwrap.indent(f'"""{body}"""', " " * indent)


def _formatted(text: str) -> str:
    for command in (["check", "--quiet", "--select", "I,F401", "--fix"], ["format", "--quiet"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "neuro_sdk/_sync.py", "-"]
        text = subprocess.run(arguments, input=text, capture_output=True, text=True, check=True).stdout
    return text


def source() -> str:
    """The text of the module."""
    return _Writer().write()


if __name__ == "__main__":
    sys.stdout.write(source())
