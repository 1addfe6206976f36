"""Names that become names of files and folders, as every common file system takes them: of tasks, splits, languages,
evaluations and runs."""

from __future__ import annotations

from spillover.core.errors import ConfigError
from spillover.core.visible_text import visible

LONGEST_NAME = 100  # bytes in UTF-8; most file systems take 255, and a suffix follows
FORBIDDEN = '/\\:*?"<>|'
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}


def name_problem(name: str) -> str:
    """Why a name cannot be that of a file or folder; "" where it can."""
    if not name.strip():
        return "is empty"
    acting = [char for char in name if visible(char) != char]
    forbidden = [char for char in name if char in FORBIDDEN]
    if acting or forbidden:
        return f"has {(acting + forbidden)[0]!r}, which no file name may have"
    if name.startswith(".") or name != name.strip(". "):
        return "starts or ends with a full stop or a space"
    if len(name.encode()) > LONGEST_NAME:
        return f"has {len(name.encode())} bytes, a file name may have {LONGEST_NAME}"
    if name.partition(".")[0].lower() in DEVICES:
        return "is a device on Windows, which cannot store a file of this name"
    return ""


def check_file_name(name: str, where: str) -> str:
    """The name itself. ConfigError, which starts with `where`, where it cannot be that of a file or folder."""
    if problem := name_problem(name):
        shown = repr(name[:LONGEST_NAME])
        raise ConfigError(f"{where}: {shown} {problem}", hint="letters, digits, full stops, dashes and underscores")
    return name
