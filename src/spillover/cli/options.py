"""The options that several verbs share and that are no config keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

# No colours, no completion of the shell, and no locals in a traceback.
PLAIN: dict[str, Any] = {"pretty_exceptions_enable": False, "add_completion": False, "rich_markup_mode": None}

Out = Annotated[Path, typer.Option("--out", help="Run folder; made when it does not exist.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
Lang = Annotated[str, typer.Option("--lang", help="all, or codes as in zh,de.")]
