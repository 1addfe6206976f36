"""The command line: one file per verb. The only place that prints to a person, or exits.

Results go to stdout, progress and logs to stderr. Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data or run folder,
4 a missing optional package, 130 interrupted, 141 the reader of a pipe is gone, 143 terminated. Everything heavy is
imported by the verb that needs it.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from spillover.cli.options import PLAIN
from spillover.cli.terminal import log_to_stderr, say, say_lines
from spillover.core.errors import RunError, SpilloverError, missing_extra
from spillover.core.write_failures import write_failure

if TYPE_CHECKING:
    from typer._click import Command, Context

INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143
# The message where a signal ended the verb.
RESUME = {code: f"{how}; rerun the same command to resume" for code, how in
          ((INTERRUPTED, "interrupted"), (TERMINATED, "terminated"))}  # fmt: skip
# click's, or of newer versions typer's own: a wrong option, argument or verb.
USAGE_ERROR: type[Any] = typer.BadParameter.__bases__[0]

# Verb → its module in this folder, in the order of the help. A module is imported when its verb is called.
VERBS = {
    "demo": "demo", "run": "run", "import": "import_data", "audit": "audit", "translate": "translate",
    "build": "build", "train": "train",
    "merge": "merge", "swap": "swap", "steer": "steer", "evaluate": "evaluate", "compare": "compare",
    "alternatives": "alternatives", "probe": "probe", "report": "report", "explore": "explore", "export": "export",
    "sweep": "sweep", "findings": "findings", "ls": "ls",
}  # fmt: skip


class Verbs(TyperGroup):
    """The verbs, each from its own module: `spillover --help` imports none of them, so it answers at once."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Names of the verbs, in their order."""
        return list(VERBS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of a verb: the function of its name in its module, or the module's own `app`."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"{__name__}.{VERBS[cmd_name]}")
        verb = getattr(module, "app", None)
        if verb is None:
            verb = typer.Typer(**PLAIN)
            verb.command(cmd_name)(getattr(module, VERBS[cmd_name]))
        command = typer.main.get_command(verb)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Context, formatter: Any) -> None:
        """The list of verbs, each with the first line of its docstring, read without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary(module)) for verb, module in VERBS.items()])


def summary(module: str) -> str:
    """The first line of the docstring of a verb: of the function named as its module, else of the module."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == module]
    return (ast.get_docstring(functions[0] if functions else tree) or "").partition("\n")[0]


app = typer.Typer(
    name="spillover",
    cls=Verbs,
    help="Measure a language model in many languages, tune it on question translations, and prove what changed.",
    no_args_is_help=True,
    **PLAIN,
)


@app.callback()
def spillover() -> None:
    """Measure a language model in many languages, tune it on question translations, and prove what changed."""


def main(arguments: Sequence[str] | None = None) -> None:  # one clause for each way to end
    """Run the command line and exit. A user's mistake is one message and a hint, never a traceback."""
    log_to_stderr()
    if not sys.stderr.isatty():  # read when the libraries are imported; their bars would fill a log with lines
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        args = None if arguments is None else list(arguments)
        with _ended_by_sigterm():
            code = app(args=args, prog_name="spillover", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  # a bug is raised again
        code = exit_code(error)
    if code in RESUME:
        say(RESUME[code])
    sys.exit(code or 0)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM, as schedulers send it, ends the verb like Ctrl-C: what is half-written is removed."""

    def terminate(*_: object) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():  # other threads receive no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(error: BaseException) -> Any:
    """The exit code for what ended a verb; a person's mistake is said, with a hint. What is a bug is raised again."""
    if isinstance(error, ImportError):
        error = missing_extra(error) or error
    if isinstance(error, SpilloverError):
        return _fail(error.problems, error.hint, error.exit_code)
    if isinstance(error, USAGE_ERROR):
        message = error.format_message()
        if message.startswith("Usage:"):  # called without arguments
            say_lines(message.splitlines())
            return error.exit_code
        return _fail([message], "spillover --help", error.exit_code)
    # `| head`: the reader of stdout is gone. click exits with 1; a shell's convention is 128 + the signal's number.
    if isinstance(error, SystemExit):
        return BROKEN_PIPE if isinstance(error.__context__, BrokenPipeError) else error.code
    if isinstance(error, BrokenPipeError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # what is left goes nowhere
        return BROKEN_PIPE
    if failure := write_failure(error):
        return _fail(failure.problems, failure.hint, failure.exit_code)
    if isinstance(error, MemoryError):
        return _fail(["out of memory"], "fewer items (--limit), or a machine with more memory", RunError.exit_code)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED
    raise error


def _fail(problems: Sequence[str], hint: str | None, code: int) -> int:
    first, *others = problems
    say_lines([f"error: {first}", *others])
    if hint:
        say(f"  try: {hint}")
    return code
