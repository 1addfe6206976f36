"""`spillover evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.cli.options import (
    Adapter,
    Data,
    Device,
    Dtype,
    FourBit,
    Json,
    Lang,
    Limit,
    Model,
    Revision,
    Seed,
    Set,
    TaskName,
    Trust,
    model_flags,
)
from spillover.cli.terminal import UNKNOWN, by_reason, print_list, print_table, progress_bars

if TYPE_CHECKING:
    from spillover.core.types import Evaluation

LENGTHS = {"sum": "summed log-probability", "token": "mean per token", "byte": "mean per byte"}


def evaluate(
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; made when it is not there.")] = None,
    model: Model = "smollm2-135m",
    name: Annotated[
        str | None, typer.Option(help="base or tuned when left out, by whether there is an adapter.")
    ] = None,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    labels: Annotated[str, typer.Option(help="native, english, irrelevant.")] = "english",
    shots: Annotated[str, typer.Option(help="own, or the language of all shots.")] = "own",
    rule: Annotated[str, typer.Option(help="exact, or paper: the paper's own, for comparison.")] = "exact",
    limit: Limit = None,
    budget_minutes: Annotated[float | None, typer.Option(help="As many items as fit into that time.")] = None,
    missing_items: Annotated[str, typer.Option(help="refuse or intersection.")] = "refuse",
    scores: Annotated[
        Path | None, typer.Option(help="Summarise a folder of scores that is there, without a model.")
    ] = None,
    calibration: Annotated[str, typer.Option(help="none, batch, contextual or pmi.")] = "batch",
    length: Annotated[str, typer.Option(help="Labels of several tokens: sum, or mean per token or byte.")] = "sum",
    seed: Seed = 0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The log-probability of every label for every item: <out>/evaluate/<name>/<task>.

    Calibration and length rule only change the summary that is printed; the scores on disk stay as they are.
    """
    from spillover.core.config import load_config
    from spillover.stats.calibration import check_rules

    check_rules(calibration, length)
    rules = {"calibration": calibration, "length": length}
    if scores is not None:
        if out is not None:
            raise typer.BadParameter("--scores only summarises, it writes nothing: leave --out away")
        from spillover.stages.evaluate.score_tables import read_evaluation

        _show(read_evaluation(scores), rules, as_json)
        return
    if out is None:
        raise typer.BadParameter("give --out RUN, or --scores FOLDER to summarise what is there")

    config = load_config(
        None, set_ or (), data=data, tasks=[task], languages=lang, limit=limit, seed=seed, evaluate__labels=labels,
        evaluate__shots=shots, evaluate__missing_items=missing_items,
        evaluate__rule=rule, evaluate__budget_minutes=budget_minutes, **model_flags(locals()),
    )  # fmt: skip
    from spillover.models.load import load_model
    from spillover.stages.evaluate.stage import evaluate as score
    from spillover.tasks.benchmark import benchmark_of

    benchmark = benchmark_of(config)
    benchmark.check_labels(config.evaluate.labels)

    with progress_bars() as progress:
        loaded = load_model(**config.model.model_dump())
        evaluation = score(loaded, benchmark, config=config.evaluate, out=out, name=name, progress=progress)
    _show(evaluation, rules, as_json)
    if not as_json:
        print(f"wrote {out / 'evaluate' / (name or ('tuned' if adapter else 'base')) / evaluation.task}")


def _show(evaluation: Evaluation, rules: Mapping[str, Any], as_json: bool) -> None:
    from spillover.core.files import plain
    from spillover.stats.summary import summarise

    summaries = summarise(evaluation, **rules)
    if as_json:
        print(json.dumps(plain([vars(summary) for summary in summaries]), ensure_ascii=False))
    else:
        _print_summaries(summaries, rules)


def _print_summaries(summaries: Sequence[Any], rules: Mapping[str, str]) -> None:
    labels = list(summaries[0].predicted)
    header = ("", "n", "acc", "cal", "F1", "F1 cal", "AUROC", "ECE", "ties", *(_short(label) for label in labels))
    rows = [
        (
            row.language,
            str(row.n),
            _percent(row.accuracy),
            _percent(row.calibrated_accuracy),
            _percent(row.macro_f1),
            _percent(row.calibrated_macro_f1),
            f"{row.auroc:.3f}{'?' if row.at_chance else ' '}" if row.auroc == row.auroc else UNKNOWN,
            f"{row.ece:.2f}",
            str(row.ties),
            *(f"{100 * row.predicted[label]:.0f} ({100 * row.gold[label]:.0f})" for label in labels),
        )
        for row in summaries
    ]
    print_table("", header, rows)
    print(
        f"acc, F1: accuracy and macro-F1, %; cal: with {rules['calibration']} calibration; labels by "
        f"{LENGTHS[rules['length']]}\n{', '.join(labels)}: % of answers given (% of gold)"
    )
    if any(row.at_chance and row.auroc == row.auroc for row in summaries):
        print("? the 95 % interval of AUROC holds 0.5: not told from chance")
    reasons = by_reason({row.language: row.reason for row in summaries})
    print_list(f"undefined in {codes}: {reason}" for reason, codes in reasons.items())


def _percent(share: float) -> str:
    return UNKNOWN if share != share else f"{100 * share:.1f}"


def _short(label: str) -> str:
    """At most eight characters: three labels fit on 80 columns."""
    return label if len(label) <= 8 else f"{label[:7]}…"
