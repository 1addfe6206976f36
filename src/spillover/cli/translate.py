"""`spillover translate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.audit import print_findings
from spillover.cli.config_options import config_options
from spillover.cli.terminal import print_list, print_table, progress_bars, say, say_lines, show
from spillover.core.config import RunConfig

if TYPE_CHECKING:
    from spillover.stages.translate.translated_questions import LanguageCounts, TranslatedQuestions, TranslationPlan

SHOWN = 3
TRANSLATOR = (
    "seq2seq", "server", "name", "api", "causal", "command", "revision", "dtype", "device", "examples", "shots",
    "beams", "batch", "max_new_tokens",
)  # fmt: skip


@config_options(
    "translate.source", "translate.targets", "translate.task",
    *(f"translate.translator.{key}" for key in TRANSLATOR), "translate.missing_items",
)  # fmt: skip
def translate(
    config: RunConfig,
    questions: Annotated[Path, typer.Argument(help="File of questions: an id and the task's fields in each row.")],
    out: Annotated[Path, typer.Option("--out", help="Data folder; its other files stay.")],
) -> None:
    """Translate questions of your own: <out>/<task>/train/<language>.jsonl, for `spillover build --data <out>`.

    Each row is checked; a bad one is translated once more, and left out if it is still bad. Resumes if interrupted.
    """
    from spillover.stages.translate.stage import open_translation, run_translation

    with progress_bars() as progress:
        opened = open_translation(
            questions, out=out, config=config.translate, thresholds=config.audit.thresholds, progress=progress
        )
        say_plan(opened.plan())
        result = run_translation(opened, progress=progress)
    print_result(result)
    unworded = [code for code in result.languages if code not in opened.task.wordings]
    show(f"wrote {result.folder}, and where it is from in {result.record}")
    targets, wording = ",".join(result.languages), f" --wording {opened.source.code}" if unworded else ""
    show(f"next: spillover build --task {config.translate.task} --data {out} --source {targets}{wording} --out RUN")


def say_plan(plan: TranslationPlan) -> None:
    """What will be asked, before it is asked, with one of the prompts."""
    say(
        f"{plan.rows} rows into {' '.join(plan.done)} with {plan.translator}: {plan.texts_left:,} texts of "
        f"{plan.characters_left:,} characters, and {plan.prompt_characters_left:,} characters of prompts around them"
    )
    if done := {code: number for code, number in plan.done.items() if number}:
        say("translated before: " + ", ".join(f"{code} {number}" for code, number in done.items()))
    code, prompt = next(iter(plan.prompts.items()))
    if prompt:
        say_lines([f"prompt for {code}:", *(f"  {line}" for line in prompt.split("\n"))])


def print_result(result: TranslatedQuestions) -> None:
    """A table of the languages, the rows that were left out, and what the audit found."""
    rows = [
        [code, str(of.rows), str(of.retried), str(len(of.left_out)), str(of.written), _reasons(of)]
        for code, of in result.languages.items()
    ]
    print_table("", ["", "rows", "retried", "left out", "written", "for"], rows)
    for code, counts in result.languages.items():
        if counts.left_out:
            show(f"left out of {code}:")
            listed = [f"{row_id}: {problem}" for row_id, problem in counts.left_out.items()]
            print_list(listed[:SHOWN])
            if len(listed) > SHOWN:
                show(f"  and {len(listed) - SHOWN} more in {result.record}")
    show("audit:")
    print_findings(result.findings)


def _reasons(counts: LanguageCounts) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counts.reasons.most_common()) or "-"
