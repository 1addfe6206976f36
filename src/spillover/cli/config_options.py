"""Options that are config keys. Name, type, choices, default and help text come from `core.config`, and nowhere else.

A verb is a function with a parameter `config`, decorated with `@config_options("evaluate.labels", ...)`. In place of
`config` it gets an option for each key and `--set`; it is called with the config that they make, checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

from spillover.core.config import RunConfig, load_config

MODEL = (
    "model.name", "model.revision", "model.adapter", "model.dtype", "model.device", "model.load_in_4bit",
    "model.trust_remote_code",
)  # fmt: skip
# Flags that are not the key's last part.
FLAGS = {
    "model.name": "--model",
    "tasks": "--task",
    "languages": "--lang",
    "build.sources": "--source",
    "build.files": "--file",
}
SET_HELP = "Any config key: --set train.rank=16."


def config_options(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that puts an option for each of `keys`, and --set, in the place of the parameter `config`."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        generated = [_parameter(key) for key in keys]
        generated.append(_keyword("set_", Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)]))
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(verb).parameters.values():
            if parameter.name == "config":
                parameters += generated
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(parameter.replace(annotation=hints[parameter.name], kind=kind))

        def command(**arguments: Any) -> None:
            overrides = arguments.pop("set_") or ()
            values = {parameter.name: arguments.pop(parameter.name) for parameter in generated[:-1]}
            flags = {name: _value(name, value) for name, value in values.items()}
            verb(config=load_config(None, overrides, **flags), **arguments)

        command.__name__, command.__doc__, command.__module__ = verb.__name__, verb.__doc__, verb.__module__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _parameter(key: str) -> inspect.Parameter:
    """The option of one config key. Its default is None, so that `--set` and the config's own default hold."""
    section: type[BaseModel] = RunConfig
    *sections, name = key.split(".")
    for part in sections:
        section = type(section.model_fields[part].default)
    field = section.model_fields[name]
    kind = _option_type(field.annotation)
    flag = FLAGS.get(key, "--" + name.replace("_", "-"))
    if kind is bool and field.default is True:
        flag += f"/--no-{flag.removeprefix('--')}"
    option = typer.Option(flag, help=_help(field.description or "", field.default), show_default=False)
    return _keyword(key.replace(".", "__"), Annotated[kind | None, option])


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option_type(annotation: Any) -> Any:
    """The type of an option for a field: its closed list of choices, a number, a switch, a repeated text, or text."""
    if get_origin(annotation) is Annotated:
        return _option_type(get_args(annotation)[0])
    if annotation in (bool, int, float, str) or get_origin(annotation) is Literal:
        return annotation
    if annotation == list[str]:
        return list[str]
    options = [option for option in get_args(annotation) if option is not type(None)]
    return _option_type(options[0]) if len(options) == 1 else str


def _help(description: str, default: Any) -> str:
    """A key's description with its default; what null means is the default of an option."""
    shown = ", ".join(default) if isinstance(default, list) else default
    known = not (default is None or isinstance(default, bool) or shown == "")
    return description.replace("null: ", "default: ") + f" [default: {shown}]" * known


def _value(name: str, value: Any) -> Any:
    """What a flag gives for its key: a list that is empty was not given, and a switch that is off neither."""
    if value in ([], None) or (value is False and not _default(name)):
        return None
    return value


def _default(name: str) -> Any:
    value: Any = RunConfig()
    for part in name.split("__"):
        value = getattr(value, part)
    return value
