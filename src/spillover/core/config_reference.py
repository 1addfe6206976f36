"""Every key of the config with its values, default and meaning, for `run --help-config` and docs/config.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spillover.core.config import RunConfig, Section


@dataclass(frozen=True)
class ConfigKey:
    """One key of the config: its dotted name, type or choices with the range, default as YAML, and what it does."""

    name: str
    kind: str
    default: str
    description: str


def config_keys() -> list[ConfigKey]:
    """Every key, in the order of the config."""
    return list(_keys_of(RunConfig, ""))


def _keys_of(section: type[Section], prefix: str) -> Iterator[ConfigKey]:
    schemas = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            yield from _keys_of(type(field.default), f"{prefix}{name}.")
        else:
            description = " ".join((field.description or "").split())
            yield ConfigKey(prefix + name, _kind(schemas[name]), json.dumps(field.default), description)


def _kind(field: Mapping[str, Any]) -> str:
    """A JSON schema's type in a few words, with its choices and its range."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(option) for option in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(map(str, field.get("enum", [field.get("const")])))
    kind = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true, false"}.get(
        field.get("type", ""), field.get("type", "")
    )
    if kind == "array":
        return f"list of {_kind(field['items'])}"
    if kind == "object":
        return f"mapping of {_kind(field['additionalProperties'])}"
    ends = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {field[end]:g}" for end, sign in ends.items() if end in field)
    return f"{kind} {limits}".rstrip()


def config_page() -> str:
    """docs/config.md: every key as a row of a Markdown table, a table for each section."""
    lines = [
        "# Configuration",
        "",
        "Every key of `spillover run CONFIG.yaml`, in order; `--set section.key=value` sets any of them.",
        "This page is generated: `python -m spillover.core.config_reference > docs/config.md`.",
    ]
    section = None
    for key in config_keys():
        head = key.name.rpartition(".")[0]
        if head != section:
            section = head
            lines += ["", f"## {head or 'The run'}", "", "| key | values | default | |", "|---|---|---|---|"]
        name = key.name.rpartition(".")[2]
        cells = [f"`{name}`", key.kind, f"`{key.default}`", key.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(config_page(), end="")  # noqa: T201
