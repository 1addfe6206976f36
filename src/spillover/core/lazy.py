"""Names of a package that are resolved when they are first used, so that importing the package loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from spillover.core.errors import missing_extra


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562). modules: full name of the module that each public name is in.

    MissingExtra when a module needs a package of an extra that is not installed."""

    def resolve(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(modules[name]), name)
        except ImportError as error:
            raise missing_extra(error) or error from None

    return resolve
