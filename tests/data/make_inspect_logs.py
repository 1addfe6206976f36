"""Writes inspect-ai.zip, logs that inspect_ai itself wrote; in an environment of its own:

    python -m venv .venv-inspect && .venv-inspect/bin/pip install inspect-ai==0.3.285
    .venv-inspect/bin/python tests/data/make_inspect_logs.py

1. Runs each task. No model is asked: a solver writes right and wrong answers by a fixed rule.
2. Empties what differs between machines or is never read: tracebacks, events, paths, the revision.
3. Writes the logs again with inspect_ai, as .json and as .eval, into one zip.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from inspect_ai import Epochs, Task, eval, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import ChatMessageUser
from inspect_ai.scorer import Score, accuracy, includes, match, mean, scorer
from inspect_ai.solver import solver

COUNT = 20


def samples(count=COUNT):
    return MemoryDataset(
        [
            Sample(input=[ChatMessageUser(content=f"Satz {i}: Der Tee ist heiß.")], target="ja", id=i)
            for i in range(1, count + 1)
        ]
    )


@solver
def answers(period, failing=()):
    """Right but for each `period`-th sample, which changes with the epoch; samples in `failing` raise."""

    async def solve(state, generate):
        if (state.sample_id, state.epoch) in failing:
            raise RuntimeError("the server answered 429")
        wrong = (int(state.sample_id) + state.epoch) % period == 0
        state.output.completion = "nein" if wrong else "ja" if int(state.sample_id) % 2 else "ja, gewiss"
        return state

    return solve


@scorer(metrics={"form": [mean()], "content": [mean()]})
def form_and_content():
    async def score(state, target):
        text = state.output.completion
        return Score(value={"form": float(len(text) < 5), "content": float(target.text in text)})

    return score


@scorer(metrics=[accuracy()])
def yes_or_no():
    async def score(state, target):
        right = target.text in state.output.completion
        return Score.unscored() if int(state.sample_id) == 3 else Score(value="C" if right else "I")

    return score


@task
def polarity_de(period: int = 3, failing: bool = False):
    errors = ((4, 1), (17, 1)) if failing else ()
    return Task(dataset=samples(), solver=answers(period, errors), scorer=includes(), fail_on_error=False)


@task
def stopped_de():
    return Task(dataset=samples(4), solver=answers(3, ((2, 1),)), scorer=includes(), fail_on_error=True)


@task
def scorers_de(period: int = 3):
    return Task(dataset=samples(), solver=answers(period), scorer=[match("exact"), includes(), form_and_content()])


@task
def unscored_de(period: int = 3):
    return Task(dataset=samples(), solver=answers(period), scorer=yes_or_no())


@task
def epochs_de(period: int = 2):
    return Task(
        dataset=samples(8),
        solver=answers(period, ((5, 2),)),
        scorer=includes(),
        epochs=Epochs(3, ["mode", "mean", "at_least_2", "pass_at_2"]),
        fail_on_error=False,
    )


RUNS = {
    "before/polarity.eval": polarity_de(),
    "after/polarity.eval": polarity_de(period=5, failing=True),
    "before/polarity.json": polarity_de(),
    "after/polarity.json": polarity_de(period=5, failing=True),
    "scorers.eval": scorers_de(),
    "unscored.json": unscored_de(),
    "epochs.eval": epochs_de(),
    "stopped.eval": stopped_de(),
}


def without_places(log):
    """The log without what differs between machines and without events."""
    log.eval.task_file, log.eval.revision, log.eval.packages = None, None, {}
    log.stats.started_at = log.stats.completed_at = log.eval.created
    errors = [sample.error for sample in log.samples] + [log.error]
    for error in filter(None, errors):
        error.traceback = error.traceback_ansi = ""
    for sample in log.samples:
        sample.events, sample.timelines = [], None
    return log


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(Path(__file__).with_name("inspect-ai.zip"), "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, own_task in RUNS.items():
            [log] = eval(own_task, model="mockllm/model", display="none", log_dir=folder)
            path = Path(folder) / Path(name).name
            write_eval_log(without_places(read_eval_log(log.location)), str(path))
            archive.write(path, name)


if __name__ == "__main__":
    main()
