"""Options that are config keys. Name, type, choices, default and help text come from `core.config`, and nowhere else.

A verb is a function with a parameter `config`, decorated with `@config_options("evaluate.labels", ...)`. In place of
`config` it gets an option for each key and `--set`; it is called with the config that they make, checked. The config
starts from the YAML file in the verb's parameter `file`, if it has one.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spillover.core.config import RunConfig, load_config

MODEL = (
    "model.name", "model.revision", "model.adapter", "model.adapter_layers", "model.steer", "model.dtype",
    "model.device", "model.quantise", "model.device_map", "model.attention", "model.trust_remote_code",
)  # fmt: skip
# Flags that are not the key's last part.
FLAGS = {
    "model.name": "--model",
    "tasks": "--task",
    "languages": "--lang",
    "build.sources": "--source",
    "steer.languages": "--source",
    "build.files": "--file",
    "translate.source": "--from",
    "translate.targets": "--to",
}


def _numbers(text: str) -> list[Any]:
    """Whole numbers between commas; what is none is left for the config to name."""
    return [int(word) if word.strip().isdigit() else word for word in text.split(",")]


# What a flag's text gives its key, where that is not the text itself.
READERS: dict[str, Callable[[str], list[Any]]] = {
    "tasks": lambda name: [name],
    "probe.layers": _numbers,
    "steer.layers": _numbers,
    "translate.targets": lambda codes: codes.replace(",", " ").split(),
    "translate.translator.command": shlex.split,
}
SET = Annotated[list[str] | None, typer.Option("--set", help="Any config key: --set train.rank=16.")]


def config_options(*keys: str, base: Path | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that puts an option for each of `keys`, and --set, in the place of the parameter `config`.

    base: the YAML file that the config starts from, for a verb without a parameter `file`.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        options = {key.replace(".", "__"): key for key in keys}
        defaults = None if "file" in hints else load_config(base)
        generated = [_keyword(name, _option(key, defaults)) for name, key in options.items()]
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(verb).parameters.values():
            if parameter.name == "config":
                parameters += [*generated, _keyword("set_", SET)]
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(parameter.replace(annotation=hints[parameter.name], kind=kind))

        def command(**arguments: Any) -> None:
            overrides = arguments.pop("set_") or ()
            values = {name: _value(key, arguments.pop(name)) for name, key in options.items()}
            verb(config=load_config(arguments.get("file", base), overrides, **values), **arguments)

        command.__name__, command.__doc__, command.__module__ = verb.__name__, verb.__doc__, verb.__module__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    """A parameter whose default is None, so that the config's file, `--set` and own default hold."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _field(key: str) -> FieldInfo:
    section: type[BaseModel] = RunConfig
    *sections, name = key.split(".")
    for part in sections:
        section = type(section.model_fields[part].default)
    return section.model_fields[name]


def _option(key: str, defaults: RunConfig | None) -> Any:
    """The annotation that makes typer show one config key as an option. defaults: None when a file will give them."""
    field = _field(key)
    kind = str if key in READERS else _option_type(field.annotation)
    flag = FLAGS.get(key, "--" + key.rpartition(".")[2].replace("_", "-"))
    if kind is bool and field.default is True:
        flag += f"/--no-{flag.removeprefix('--')}"
    return Annotated[kind | None, typer.Option(flag, help=_help(key, field, defaults), show_default=False)]


def _option_type(annotation: Any) -> Any:
    """The type of an option for a field: its closed list of choices, a number, a switch, a repeated text, or text."""
    if get_origin(annotation) is Annotated:
        return _option_type(get_args(annotation)[0])
    if annotation in (bool, int, float, str, list[str]) or get_origin(annotation) is Literal:
        return annotation
    options = [option for option in get_args(annotation) if option is not type(None)]
    return _option_type(options[0]) if len(options) == 1 else str


def _help(key: str, field: FieldInfo, defaults: RunConfig | None) -> str:
    """A key's description with its default; where that is null, with what null means."""
    text = " ".join((field.description or "").split())
    value = reduce(getattr, key.split("."), defaults) if defaults else "the config's"
    if value is None:
        return re.sub(r"; null: ([^.]*)\.", r". [default: \1]", text)
    text = re.sub(r"; null: [^.]*\.", ".", text)
    default = ", ".join(map(str, value)) if isinstance(value, list) else value
    return text if isinstance(default, bool) or default == "" else f"{text} [default: {default}]"


def _value(key: str, value: Any) -> Any:
    """What a flag gives its key; None where it was not given: an empty list, and a switch that is off."""
    if value in ([], None) or (value is False and not _field(key).default):
        return None
    return READERS[key](value) if key in READERS else value
