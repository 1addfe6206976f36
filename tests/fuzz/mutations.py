"""Ways to damage a good file: bytes and lines of any file, nodes of JSON and YAML."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 10**30, -(10**30), 1e308, float("nan"), float("inf"), "", " ", "0", "x", "\0", "\x1b[31m",
    "../../x", "/", "é" * 2, "‮", "<b>", "{", "a" * 3000, [], [None], [[]], {}, {"": None}, [1, "a", None], {"a": {"b": []}},
]  # fmt: skip
PIECES = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b'"', b"'", b"{", b"}", b"[", b"]", b",", b";", b"\t", b":",
          b"\\", b"\\ud800", b"&a *a", b"!!python/object:os.system", b"- ", b"NaN", b"1e999", b"\xe2\x80\xae"]  # fmt: skip


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, exchanged or put in."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 50, 400))
        action = rng.choice(("flip", "cut", "double", "truncate", "insert", "random"))
        if action == "flip" and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif action == "cut":
            del data[at : at + length]
        elif action == "double":
            data[at:at] = data[at : at + length]
        elif action == "truncate":
            del data[at:]
        elif action == "insert":
            data[at:at] = rng.choice(PIECES)
        else:
            data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def damaged_lines(data: bytes, rng: random.Random) -> bytes:
    """A line left out, doubled, moved, joined with the next, or emptied."""
    lines = data.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    action = rng.choice(("leave out", "double", "move", "join", "empty"))
    if action == "leave out":
        del lines[at]
    elif action == "double":
        lines.insert(at, lines[at])
    elif action == "move":
        lines.insert(rng.randrange(len(lines)), lines.pop(at))
    elif action == "join":
        lines[at] = lines[at].rstrip(b"\r\n")
    else:
        lines[at] = b"\n"
    return b"".join(lines)


def damaged_value(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """Plain data with one node replaced, left out, renamed or doubled."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.8):
        key = rng.choice(list(value))
        action = rng.choice(("deeper", "deeper", "replace", "leave out", "rename", "add"))
        if action == "deeper":
            return value | {key: damaged_value(value[key], rng, depth + 1)}
        if action == "replace":
            return value | {key: rng.choice(VALUES)}
        if action == "add":
            return value | {rng.choice(("x", "", "label", "id", "language")): rng.choice(VALUES)}
        rest = {name: item for name, item in value.items() if name != key}
        return rest if action == "leave out" else rest | {f"{key}_": value[key]}
    if isinstance(value, list) and value and (depth == 0 or rng.random() < 0.8):
        at = rng.randrange(len(value))
        action = rng.choice(("deeper", "deeper", "deeper", "leave out", "double"))
        if action == "deeper":
            return [*value[:at], damaged_value(value[at], rng, depth + 1), *value[at + 1 :]]
        return [*value[:at], *([value[at]] * 2 if action == "double" else []), *value[at + 1 :]]
    return rng.choice(VALUES)


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON file with one node damaged."""
    return json.dumps(damaged_value(json.loads(data), rng), ensure_ascii=rng.random() < 0.5).encode()


def damaged_jsonl(data: bytes, rng: random.Random) -> bytes:
    """A file of JSON lines with a node of one line damaged, or of every line in the same way."""
    lines = data.splitlines()
    seed, chosen = rng.random(), range(len(lines)) if rng.random() < 0.3 else [rng.randrange(len(lines))]
    for at in chosen:
        lines[at] = damaged_json(lines[at], random.Random(seed))
    return b"\n".join(lines) + b"\n"


def damaged_yaml(data: bytes, rng: random.Random) -> bytes:
    """A YAML file with one node damaged."""
    yaml, out = YAML(typ="safe", pure=True), io.StringIO()
    yaml.dump(damaged_value(yaml.load(data.decode()), rng), out)
    return out.getvalue().encode()


STRUCTURED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": damaged_json, ".jsonl": damaged_jsonl, ".yaml": damaged_yaml,
}  # fmt: skip


def damaged(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """A damaged copy of a file's bytes; in its structure where its kind is known, else in bytes or lines."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [damaged_bytes, damaged_lines]
    if suffix in STRUCTURED:
        ways += [STRUCTURED[suffix]] * 3
    try:
        return rng.choice(ways)(data, rng)
    except (UnicodeEncodeError, ValueError):  # what YAML or JSON cannot write
        return damaged_bytes(data, rng)
