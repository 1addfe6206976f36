"""What is fuzzed: a folder of good input, the file in it that is damaged, and the command that reads it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.builders import save_adapter, save_model, small_data, write_rows

ASK = "Translate the input from Spanish to English:"
EARLIER_RUN = Path(__file__).parents[1] / "data" / "run-before.zip"


@dataclass(frozen=True)
class Target:
    """make: writes the good input into an empty folder. file: what is damaged, in that folder. command: arguments of
    spillover, run in that folder. made: what the command makes, which must not be there when it fails. ends: exit codes on the good
    input; the config's names a model that is not there, so that nothing is computed."""

    make: Callable[[Path], object]
    file: str
    command: str
    made: tuple[str, ...] = ()
    ends: tuple[int, ...] = (0,)


def _data(folder: Path) -> None:
    small_data(folder / "data", ("en", "de", "es"), items=8)


def _csv_data(folder: Path) -> None:
    _data(folder)
    for code in ("en", "de", "es"):
        path = folder / "data" / "sentiment" / "test" / f"{code}.jsonl"
        pd.read_json(path, lines=True, dtype=False).to_csv(path.with_suffix(".csv"), index=False)
        path.unlink()


def _own_task(folder: Path) -> None:
    task = folder / "task"
    task.mkdir()
    (task / "task.yaml").write_text(
        "name: task\nversion: 1\ndescription: Is a review good?\nfields: [review]\nlabels: [positive, negative]\n"
        'template: "{review_word}: {review}\\n{answer_word}: \\""\n'
        "label_sets:\n  english: en\n"
        "shots: {good: positive, bad: negative}\n"
    )
    for code in ("en", "de", "es"):
        (task / f"{code}.yaml").write_text(
            f"language: {code}\nprovenance: written\nwords: {{review_word: Review, answer_word: Sentiment}}\n"
            "labels: {positive: positive, negative: negative}\n"
            "shots:\n  good: {review: It is lovely.}\n  bad: {review: It broke at once.}\n"
        )
    small_data(folder / "data", ("en", "de", "es"), items=8)
    (folder / "data" / "sentiment").rename(folder / "data" / "task")


def _config(folder: Path) -> None:
    _data(folder)
    (folder / "run.yaml").write_text(
        "name: mine\nseed: 3\ndata: data\ntasks: [sentiment]\nlanguages: [en, de]\nlimit: 4\n"
        "model: {name: ./no-such-model, dtype: float32}\naudit: {skip: [class-balance], tolerate: {missing-label: 0.1}}\n"
        "build: {task: sentiment, sources: [de], target: en, pairs: 4}\n"
        "train: {epochs: 1, batch: 2, learning_rate: 0.0002, validation: 0.0}\n"
        "evaluate: {labels: english, shots: own, content_free: ['', 'N/A']}\n"
        "compare: {draws: 50, groups: {mine: [en, de]}}\nprobe: {items: 4}\nreport: {title: Mine}\n"
    )


def _model(folder: Path) -> None:
    _data(folder)
    save_model(folder / "model")
    save_adapter(folder / "adapter", folder / "model")


def _run(folder: Path) -> None:
    with zipfile.ZipFile(EARLIER_RUN) as archive:
        archive.extractall(folder)


def _harness_logs(folder: Path) -> None:
    for name, good in (("before", 3), ("after", 2)):
        rows = [
            {
                "doc_id": i, "doc": {"premise": "x"}, "target": str(i % 2), "filter": "none", "metrics": ["acc"],
                "arguments": {f"gen_args_{k}": {"arg_0": "x", "arg_1": word} for k, word in enumerate((" Yes", " No"))},
                "filtered_resps": [["-1.0", "True"], ["-2.0", "False"]], "acc": float(i % 2 == 0),
                "doc_hash": f"d{i}", "prompt_hash": f"p{good}{i}",
            }
            for i in range(12)
        ]  # fmt: skip
        write_rows(folder / name / "samples_xnli_de_2026-01-21T03-44-18.458309.jsonl", rows)


def _inspect_logs(folder: Path) -> None:
    samples = [
        {"id": i, "epoch": 1, "target": "A", "scores": {"choice": {"value": "CI"[i % 2], "answer": "A"}}}
        for i in range(12)
    ]
    log = {"version": 2, "status": "success", "eval": {"task": "arc", "model": "m", "dataset": {}}, "samples": samples}
    for name in ("before", "after"):
        (folder / f"{name}.json").write_text(json.dumps(log))
        header = {key: value for key, value in log.items() if key != "samples"}
        with zipfile.ZipFile(folder / f"{name}.eval", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps(header))
            for sample in samples:
                archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))


def _hub_source(folder: Path) -> None:
    rows = [{"n": i, "text": f"review {i}", "y": i % 2} for i in range(8)]
    for code in ("en", "de"):
        write_rows(folder / f"{code}.jsonl", rows)
        pd.DataFrame(rows).to_csv(folder / f"{code}.csv", index=False)
        pd.DataFrame(rows).to_parquet(folder / f"{code}.parquet")
    for kind in ("jsonl", "csv", "parquet"):
        (folder / f"{kind}.yaml").write_text(
            f"task: sentiment\nfiles: {{en: {{test: en.{kind}}}, de: {{test: de.{kind}}}}}\nsplits: {{test: test}}\n"
            "fields: {review: text}\nlabel: y\nlabels: {0: negative, 1: positive}\nid: [n]\n"
        )


def _training_files(folder: Path) -> None:
    alpaca = [
        {"instruction": f"uno {i}\n{ASK}", "input": "", "output": f"one {i}", "system": "Translate."} for i in range(4)
    ]
    chats = [
        {"conversations": [{"from": "human", "value": f"uno {i}\n{ASK}"}, {"from": "gpt", "value": f"one {i}"}]}
        for i in range(4)
    ]
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    for name, rows, info in (
        ("alpaca", alpaca, {"columns": columns}),
        ("chats", chats, {"formatting": "sharegpt", "columns": {"messages": "conversations"}}),
    ):
        (folder / name).mkdir()
        (folder / name / "rows.json").write_text(json.dumps(rows))
        (folder / name / "dataset_info.json").write_text(json.dumps({name: {"file_name": "rows.json"} | info}))


def _published(folder: Path) -> None:
    (folder / "table.csv").write_text("language,before,after\nen,0.80,0.82\nde,0.70,0.75\nes,0.71,0.70\n")


TEST_FILE = "data/sentiment/test/de"
AUDIT = "audit --task sentiment --data data --out run"
EVALUATE = "evaluate --model model --adapter adapter --data data --limit 2 --out run"
TARGETS: dict[str, Target] = {
    "items as JSON lines": Target(_data, f"{TEST_FILE}.jsonl", AUDIT),
    "items as CSV": Target(_csv_data, f"{TEST_FILE}.csv", AUDIT),
    "questions": Target(_data, "data/sentiment/train/de.jsonl", "build --task sentiment --data data --out run"),
    "wording": Target(_own_task, "task/de.yaml", "audit --task task --data data --out run"),
    "task": Target(_own_task, "task/task.yaml", "audit --task task --data data --out run"),
    "config": Target(_config, "run.yaml", "run run.yaml --out run --set model.name=./no-such-model", ends=(3,)),
    "config of a model": Target(_model, "model/config.json", EVALUATE, ("run/evaluate",)),
    "tokenizer": Target(_model, "model/tokenizer.json", EVALUATE, ("run/evaluate",)),
    "weights": Target(_model, "model/model.safetensors", EVALUATE, ("run/evaluate",)),
    "config of an adapter": Target(_model, "adapter/adapter_config.json", EVALUATE, ("run/evaluate",)),
    "weights of an adapter": Target(_model, "adapter/adapter_model.safetensors", EVALUATE, ("run/evaluate",)),
    "table of scores": Target(_run, "run-before/evaluate/base/sentiment/en.parquet", "compare run-before"),
    "table of a comparison": Target(_run, "run-before/compare/languages.parquet", "report run-before --out p.html", ("p.html",)),
    "verdict": Target(_run, "run-before/compare/verdict.json", "report run-before --out page.html", ("page.html",)),
    "findings": Target(_run, "run-before/audit/findings.json", "report run-before --out page.html", ("page.html",)),
    "training log": Target(_run, "run-before/train/steps.jsonl", "report run-before --out page.html", ("page.html",)),
    "manifest": Target(_run, "run-before/run.json", "compare run-before"),
    "manifest, report": Target(_run, "run-before/run.json", "report run-before --out page.html", ("page.html",)),
    "manifest, ls": Target(_run, "run-before/run.json", "ls runs --folder ."),
    "config of a run": Target(_run, "run-before/config.yaml", "report run-before --out page.html", ("page.html",)),
    "harness log": Target(_harness_logs, "after/samples_xnli_de_2026-01-21T03-44-18.458309.jsonl", "compare before after"),
    "inspect log": Target(_inspect_logs, "after.json", "compare before.json after.json"),
    "packed inspect log": Target(_inspect_logs, "after.eval", "compare before.eval after.eval"),
    "hub source": Target(_hub_source, "jsonl.yaml", "import hub jsonl.yaml --out out", ("out/sentiment/test/de.jsonl",)),
    "hub rows as JSON lines": Target(_hub_source, "de.jsonl", "import hub jsonl.yaml --out out"),
    "hub rows as CSV": Target(_hub_source, "de.csv", "import hub csv.yaml --out out"),
    "hub rows as parquet": Target(_hub_source, "de.parquet", "import hub parquet.yaml --out out"),
    "alpaca file": Target(_training_files, "alpaca/rows.json", "build --file alpaca --out run"),
    "chat file": Target(_training_files, "chats/rows.json", "build --file chats --out run"),
    "dataset_info": Target(_training_files, "chats/dataset_info.json", "build --file chats --out run"),
    "published table": Target(_published, "table.csv", "compare --plan --published table.csv --items 500"),
}  # fmt: skip
