"""The flipped items of a finished run, and each of them as a question, asked as the run asked it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.core.errors import DataError, RunError
from spillover.core.runs import EvaluationFolder, Run, existing_run
from spillover.explore.asked_question import Question
from spillover.explore.results import FlippedItem, FlipsView
from spillover.explore.session import BASE, Session, Side, question_of
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.probe.selection import finished_evaluation
from spillover.stages.report.flips import flipped_items
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import DEMO


@dataclass(frozen=True)
class OpenedRun:
    """Two evaluations of a run on one task. path: as it was given. task, data, labels, shots, wording: as they were
    scored. hashes: of the data, by language. after: the name of the other model; the first is the base."""

    path: str
    task: str
    data: str
    labels: str
    shots: str
    wording: str | None
    hashes: Mapping[str, str]
    after: str
    items: tuple[FlippedItem, ...]

    def flips(self, language: str | None = None, change: str | None = None) -> FlipsView:
        """The flipped items of one language and of one of `CHANGES`; None takes all."""
        wanted = tuple(
            item for item in self.items if language in (None, item.language) and change in (None, item.change)
        )  # fmt: skip
        return FlipsView(self.task, self.after, wanted)


def open_run_items(path: str, session: Session) -> OpenedRun:
    """The items of a run that flipped between the base and the first other model that was evaluated.

    RunError for a folder that is no run, an unfinished evaluation, a run of another model than the session's, one that
    was asked in another chat form, and one without a second model.
    """
    run = existing_run(path)
    evaluations = run.evaluations()
    base = next((evaluation for evaluation in evaluations if evaluation.model == BASE), None)
    other = next(
        (found for found in evaluations if base and found.model != BASE and found.task == base.task), None
    )  # fmt: skip
    if base is None or other is None:
        raise RunError(
            f"{path}: it needs an evaluation of {BASE} and one of another model on the same task",
            hint=f"spillover evaluate --out {path}, and again with --adapter",
        )
    for evaluation in (base, other):
        finished_evaluation(run, evaluation.model, evaluation.task)
    _check_models(run, session, base, other)
    settings, facts = base.record["settings"], base.record["facts"]
    before, after = read_evaluation(base.path), read_evaluation(other.path)
    flips = flipped_items((base.path, before), (other.path, after))
    return OpenedRun(
        path=path,
        task=facts.get("task", base.task),
        data=facts.get("data", DEMO),
        labels=settings["labels"],
        shots=settings["shots"],
        wording=facts.get("lender"),
        hashes=settings["data"],
        after=other.model,
        items=tuple(_flipped_item(row, flips["labels"]) for row in flips["rows"]),
    )


def question_of_item(run: OpenedRun, item: FlippedItem) -> Question:
    """The item as a question, asked as the run asked it. DataError where the data has it no longer; RunError where the
    data has changed."""
    benchmark = open_benchmark(
        run.task, data=run.data, languages=[item.language], disagreeing_labels="keep", wording=run.wording
    )
    if benchmark.hashes()[item.language] != run.hashes.get(item.language):
        raise RunError(
            f"{run.path}: the data of {item.language} has changed since the run", hint="evaluate into a new folder"
        )
    examples = benchmark.examples(among=[item.id])[item.language]
    if not examples:
        raise DataError(f"{run.data}: item {item.id} is not among the data in {item.language}", hint="evaluate again")
    question = Question(run.task, item.language, (), labels=run.labels, shots=run.shots, wording=run.wording)
    return question_of(question, examples[0])


def opening_of_run(path: str) -> tuple[dict[str, Any], str]:
    """(the arguments of `open_session` for the models and the data of a run; its task): its base, and the adapter or
    intervention of the first other model, where its folder is still there. RunError where the run has no evaluation of
    a base."""
    run = existing_run(path)
    evaluations = run.evaluations(BASE)
    if not evaluations or not evaluations[0].tables:
        raise RunError(f"{path}: no evaluation of {BASE}", hint=f"spillover evaluate --out {path}")
    facts = evaluations[0].record.get("facts", {})
    base = read_evaluation(evaluations[0].path).model
    arguments: dict[str, Any] = {"name": base.name, "revision": base.revision, "data": facts.get("data", DEMO)}
    others = [found for found in run.evaluations() if found.model != BASE and found.tables]
    other = read_evaluation(others[0].path).model if others else base
    adapters = [Path(other.adapter), run.path / "train" / "adapter"] if other.adapter else []
    folders = [folder for folder in adapters if folder.is_dir()]
    if folders:
        arguments |= {"adapter": str(folders[0]), "adapter_layers": other.adapter_layers}
    elif other.steer and (run.path / "steer" / other.steer).is_dir():
        arguments["steer"] = str(run.path / "steer" / other.steer)
    return arguments, facts.get("task", evaluations[0].task)


def _flipped_item(row: Mapping[str, Any], labels: list[str]) -> FlippedItem:
    def best(shares: list[int]) -> str:
        return labels[max(range(len(shares)), key=shares.__getitem__)]

    return FlippedItem(
        row["language"],
        row["id"],
        row["newly_correct"],
        labels[row["gold"]],
        best(row["before"]),
        best(row["after"]),
        row["text"],
    )


def _check_models(run: Run, session: Session, base: EvaluationFolder, other: EvaluationFolder) -> None:
    sides = {side.name: side for side in session.sides}
    _check_model(run, sides[BASE], base)
    if len(session.sides) > 1:
        _check_model(run, sides.get(other.model, session.sides[1]), other)


def _check_model(run: Run, side: Side, evaluation: EvaluationFolder) -> None:
    settings = evaluation.record["settings"]
    if settings["model"] != side.model.ref.fingerprint:
        scored = read_evaluation(evaluation.path).model
        adapter = f" --adapter {scored.adapter}" if scored.adapter else ""
        raise RunError(
            f"{run.path}: evaluate/{evaluation.model} is not of {side.model.ref.title}, which is {side.name} here",
            hint=f"spillover explore --model {scored.name}{adapter} --run {run.path}",
        )
    asked, chat = settings.get("chat", "off"), side.engine.chat
    if asked != (chat.form if chat else "off"):
        raise RunError(f"{run.path}: evaluate/{evaluation.model} was made with --chat {asked}", hint=f"--chat {asked}")
