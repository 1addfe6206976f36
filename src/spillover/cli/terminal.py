"""What a person sees: messages and progress on stderr, tables on stdout. All that is printed goes through `visible`, so
that no text, label, id or file name can act on the terminal; ruff forbids `print` elsewhere."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spillover.core.visible_text import visible, visible_json

if TYPE_CHECKING:
    from rich.text import Text

    from spillover.core.types import Progress


QUIET = 15.0  # seconds without a line of progress, at most, where no terminal draws a bar
UNKNOWN = "–"


def say(text: str) -> None:
    """One line on stderr."""
    print(visible(text), file=sys.stderr)


def say_lines(lines: Iterable[str]) -> None:
    """Lines of ours on stderr."""
    for line in lines:
        say(line)


def show(text: object = "") -> None:
    """One line on stdout."""
    print(visible(str(text)))


def show_lines(text: object) -> None:
    """A text of ours with lines of its own, on stdout."""
    for line in str(text).split("\n"):
        show(line)


class VisibleFormatter(logging.Formatter):
    """A log message in one line, with what would act on the terminal as an escape; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message alone."""
        return visible(record.getMessage())


def log_to_stderr() -> None:
    """Log messages of this package and warnings of others on stderr, where no log was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("spillover").setLevel(logging.INFO)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on stderr with the time left; plain lines now and then where there is no terminal."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import (  # fmt: skip
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<26}", markup=False), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    bars: dict[str, TaskID] = {}
    last_line: dict[str, float] = {}
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers = [RichHandler(console=console, show_path=False, show_level=False, show_time=False)]
    root.handlers[0].setFormatter(VisibleFormatter())
    _silence_warnings()
    try:
        # Without a terminal rich draws nothing until the end, and then each bar below its own last line.
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

            def progress(activity: str, done: int, total: int) -> None:
                activity = visible(activity)
                if activity not in bars:
                    bars[activity] = bar.add_task(activity, total=total)
                elif done == 0:  # the same activity of the next run of a sweep
                    bar.reset(bars[activity])
                bar.update(bars[activity], completed=done, total=total)
                now = time.monotonic()
                if not console.is_terminal and (done == total or now - last_line.setdefault(activity, now) >= QUIET):
                    last_line[activity] = now
                    console.print(f"{activity}: {done}/{total}", highlight=False, markup=False)

            yield progress
    finally:
        root.handlers = handlers


def _silence_warnings() -> None:
    """Deprecation warnings of one library about another are not for the person at the terminal."""
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|torch)\b.*")


def by_reason(reasons: Mapping[str, str]) -> dict[str, str]:
    """{language: reason or ""} → {reason: "de fr"}: each reason once, with the languages that it holds for."""
    languages: dict[str, list[str]] = {}
    for code, reason in reasons.items():
        if reason:
            languages.setdefault(reason, []).append(code)
    return {
        reason: "all languages" if 1 < len(codes) == len(reasons) else " ".join(codes)
        for reason, codes in languages.items()
    }


def print_json(value: Any) -> None:
    """A value as one line of JSON; NaN is null."""
    from spillover.core.files import plain

    print_json_text(json.dumps(plain(value), ensure_ascii=False))


def print_json_text(text: str) -> None:
    """JSON as a file has it."""
    print(visible_json(text.rstrip("\n")))


def print_list(lines: Iterable[str]) -> None:
    """Lines with a dash before each, wrapped where the terminal ends."""
    for line in lines:
        print_wrapped(f"- {line}", indent=2)


def print_wrapped(line: str, *, indent: int) -> None:
    """A line, wrapped where the terminal ends, with `indent` spaces before what follows."""
    width = shutil.get_terminal_size().columns
    print(textwrap.fill(visible(line), width, subsequent_indent=" " * indent, break_on_hyphens=False))


def plain_cell(text: str, style: str = "") -> Text:
    """A cell of a table, or its heading: brackets are no markup of rich's."""
    from rich.text import Text

    return Text(visible(text), style=style)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; on a narrow terminal its last column wraps."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if title:
        console.print(plain_cell(title, "italic"))
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    lines = [[plain_cell(text) for text in cells] for cells in (header, *rows)]
    # On a narrow terminal the last column wraps, and no other loses a digit.
    for i, name in enumerate(lines[0][:-1]):
        width = max(cells[i].cell_len for cells in lines)
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True, min_width=width)
    table.add_column(lines[0][-1], justify="right")
    for cells in lines[1:]:
        table.add_row(*cells)
    console.print(table)
