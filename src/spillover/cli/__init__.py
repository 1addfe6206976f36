"""The command line: one file per verb. The only place that prints to a person, or exits.

Results go to stdout, progress and logs to stderr. Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data or run folder,
4 a missing optional package, 130 interrupted. Everything heavy is imported by the verb that needs it.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence

import typer

from spillover.cli.audit import audit
from spillover.cli.build import build
from spillover.cli.compare import compare
from spillover.cli.demo import demo
from spillover.cli.evaluate import evaluate
from spillover.cli.import_data import import_hub, import_paper
from spillover.cli.ls import list_things
from spillover.cli.merge import merge
from spillover.cli.probe import app as probe_app
from spillover.cli.report import report
from spillover.cli.run import run
from spillover.cli.sweep import sweep
from spillover.cli.terminal import say
from spillover.cli.train import train
from spillover.core.errors import RunError, SpilloverError, missing_extra

INTERRUPTED = 130
# What a full disk or a folder that is not ours gives: no bug here.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

app = typer.Typer(
    name="spillover",
    help="Measure a language model in many languages, tune it on question translations, and prove what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
import_app = typer.Typer(no_args_is_help=True, help="Other people's data in our format.")
app.command()(demo)
app.command()(run)
app.add_typer(import_app, name="import")
import_app.command("paper")(import_paper)
import_app.command("hub")(import_hub)
app.command()(audit)
app.command()(build)
app.command()(train)
app.command()(merge)
app.command()(evaluate)
app.command()(compare)
app.add_typer(probe_app, name="probe")
app.command()(report)
app.command()(sweep)
app.command("ls")(list_things)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. A user's mistake is one message and a hint, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("spillover").setLevel(logging.INFO)
    if not sys.stderr.isatty():  # read when the libraries are imported; their bars would fill a log with lines
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
    except SpilloverError as error:
        say(f"error: {error.message}")
        if error.hint:
            say(f"  try: {error.hint}")
        sys.exit(error.exit_code)
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        say(f"error: {missing.message}\n  try: {missing.hint}")
        sys.exit(missing.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        say(f"error: {error.filename or 'the disk'}: {error.strerror}")
        say("  try: make room or allow writing; the same command goes on from there")
        sys.exit(RunError.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; the same command goes on from here")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            say(f"error: {error.format_message()}")
            say("  try: spillover --help")
            sys.exit(error.exit_code)
        raise
    sys.exit(0)
