"""`spillover evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.config_options import MODEL, config_options
from spillover.cli.options import Json, Name, OnRay, OptionalOut
from spillover.cli.terminal import UNKNOWN, by_reason, print_json, print_list, print_table, progress_bars, show
from spillover.core.config import RunConfig

if TYPE_CHECKING:
    from spillover.core.types import Evaluation, Progress
    from spillover.models.engine import AnyModel

LENGTHS = {"sum": "summed log-probability", "token": "mean per token", "byte": "mean per byte"}


@config_options(
    *MODEL, "model.server", "model.tokenizer", "model.in_flight",
    "tasks", "data", "languages", "evaluate.labels", "evaluate.shots", "evaluate.wording", "evaluate.chat",
    "evaluate.system_prompt", "evaluate.rule", "limit", "evaluate.budget_minutes", "evaluate.missing_items",
    "compare.primary", "compare.fallback", "compare.calibration", "compare.length", "seed",
)  # fmt: skip
def evaluate(
    config: RunConfig,
    out: OptionalOut = None,
    name: Name = None,
    scores: Annotated[Path | None, typer.Option(help="Summarise a folder of scores, without a model.")] = None,
    on: OnRay = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="--on ray: number of workers. [default: as many as there is room for]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score every label of every item by its log-probability: <out>/evaluate/<name>/<task>.

    The primary measure is declared in the run, for `compare`. Calibration and length rule only change the summary that
    is printed; the scores on disk stay as they are.
    """
    rules = {"calibration": config.compare.calibration, "length": config.compare.length}
    if scores is not None:
        if out is not None:
            raise typer.BadParameter("--scores only summarises, it writes nothing: leave --out away")
        from spillover.stages.evaluate.score_tables import read_evaluation

        _show(read_evaluation(scores), rules, as_json)
        return
    if out is None:
        raise typer.BadParameter("give --out RUN, or --scores FOLDER to summarise scores")
    if workers and not on:
        raise typer.BadParameter("--workers goes with --on ray: without, every core scores a batch already")

    from spillover.core.model_names import name_in_run
    from spillover.core.runs import open_run
    from spillover.stages.evaluate.stage import evaluate as score
    from spillover.tasks.benchmark import benchmark_of

    benchmark = benchmark_of(config)
    benchmark.check_labels(config.evaluate.labels)
    benchmark.resolved_shots(config.evaluate.shots)
    benchmark.check_rule(config.evaluate.rule)
    benchmark.examples()  # what is wrong with the items is said before a model is loaded

    with (
        open_run(out).locked(),
        progress_bars() as progress,
        _opened(config, out, on, workers, progress) as loaded,
    ):
        evaluation = score(
            loaded, benchmark, config=config.evaluate, out=out, name=name, compare=config.compare, progress=progress
        )
    _show(evaluation, rules, as_json)
    if not as_json:
        show(
            f"wrote {out / 'evaluate' / (name or name_in_run(loaded.ref.adapter, loaded.ref.steer)) / evaluation.task}"
        )


@contextmanager
def _opened(
    config: RunConfig, out: Path, on: str | None, workers: int | None, progress: Progress
) -> Iterator[AnyModel]:
    """The model, here, or on workers of Ray until the block ends."""
    if on is None:
        from spillover.models.load import load_model

        yield load_model(**config.model.model_dump(), progress=progress)
        return
    from spillover.core.ray_task import shared_place
    from spillover.models.ray_workers import ray_workers

    with (
        shared_place(out) as place,
        ray_workers(config.model, config.ray, place, workers=workers, progress=progress) as model,
    ):
        yield model


def _show(evaluation: Evaluation, rules: Mapping[str, Any], as_json: bool) -> None:
    from spillover.stats.clusters import FEW_CLUSTERS
    from spillover.stats.summary import summarise

    summaries = summarise(evaluation, **rules)
    if as_json:
        print_json([vars(summary) for summary in summaries])
    else:
        _print_summaries(summaries, rules)
        few = {row.language: "few" if row.clusters < min(row.n, FEW_CLUSTERS) else "" for row in summaries}
        print_list(
            f"{codes}: fewer than {FEW_CLUSTERS} clusters: ? and intervals are not to be trusted"
            for codes in by_reason(few).values()
        )
        borrowed = by_reason({row.language: row.borrowed_wording for row in summaries})
        print_list(f"{codes}: the items' own text in the wording of {lent}" for lent, codes in borrowed.items())


def _print_summaries(summaries: Sequence[Any], rules: Mapping[str, str]) -> None:
    labels = list(summaries[0].predicted)
    if not labels:
        _print_own_answers(summaries)
        return
    others = _other_lengths(summaries)
    header = ("", "n", "acc", *others, "cal", "F1", "F1 cal", "AUROC", "ECE", "ties", *map(_short, labels))
    rows = [
        (
            row.language,
            str(row.n),
            _percent(row.accuracy),
            *(_percent(row.accuracy_by_length[length]) for length in others),
            _percent(row.calibrated_accuracy),
            _percent(row.macro_f1),
            _percent(row.calibrated_macro_f1),
            f"{row.auroc:.3f}{'?' if row.at_chance else ' '}" if not math.isnan(row.auroc) else UNKNOWN,
            f"{row.ece:.2f}",
            str(row.ties),
            *(f"{100 * row.predicted[label]:.0f} ({100 * row.gold[label]:.0f})" for label in labels),
        )
        for row in summaries
    ]
    print_table("", header, rows)
    show(
        f"acc, F1: accuracy and macro-F1, %; cal: with {rules['calibration']} calibration; labels by "
        f"{LENGTHS[summaries[0].length]}"
    )
    if others:
        show("; ".join(f"{length}: accuracy by {LENGTHS[length]}" for length in others))
    show(f"{', '.join(labels)}: % of answers given (% of gold)")
    if any(row.at_chance and not math.isnan(row.auroc) for row in summaries):
        show("? the 95 % interval of AUROC covers 0.5: may be chance")
    reasons = by_reason({row.language: row.reason for row in summaries})
    print_list(f"undefined in {codes}: {reason}" for reason, codes in reasons.items())


def _print_own_answers(summaries: Sequence[Any]) -> None:
    """Of items with answers of their own, and of logs that hold no labels: accuracy by every length rule that is known,
    the headline's first."""
    others = [name for name in LENGTHS if name in summaries[0].accuracy_by_length and name != summaries[0].length]
    known = bool(summaries[0].accuracy_by_length)
    clustered = any(row.clusters != row.n for row in summaries)
    header = (
        "",
        "n",
        *(["clusters"] if clustered else []),
        "acc",
        *others,
        *(["chance", "ECE", "ties"] if known else []),
    )
    rows = [
        (
            row.language,
            str(row.n),
            *([str(row.clusters)] if clustered else []),
            _percent(row.accuracy) + ("" if not known else "?" if row.at_chance else " "),
            *(_percent(row.accuracy_by_length[length]) for length in others),
            *([_percent(row.chance), _share(row.ece), str(row.ties)] if known else []),
        )
        for row in summaries
    ]
    print_table("", header, rows)
    if known:
        show(f"acc: accuracy by {LENGTHS[summaries[0].length]}, %, the headline")
        show("; ".join(f"{length}: accuracy by {LENGTHS[length]}" for length in others))
    if any(row.at_chance for row in summaries) and known:
        show("? the 95 % interval of accuracy covers that of a guess: may be chance")
    print_list(f"AUROC, calibration and F1: {reason}" for reason in by_reason({"": summaries[0].reason}))


def _other_lengths(summaries: Sequence[Any]) -> list[str]:
    """The length rules that give another accuracy than the table's in some language."""
    return [
        length
        for length in LENGTHS
        if any(abs(row.accuracy_by_length.get(length, math.nan) - row.accuracy) > 0 for row in summaries)
    ]


def _share(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.2f}"


def _percent(share: float) -> str:
    return UNKNOWN if math.isnan(share) else f"{100 * share:.1f}"


def _short(label: str) -> str:
    """At most eight characters: three labels fit on 80 columns."""
    return label if len(label) <= 8 else f"{label[:7]}…"
