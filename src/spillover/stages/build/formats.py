"""Pairs in other trainers' formats, written and read.

paper          a JSON array of {input, answer}, the instruction at input's end: the paper's own files
trl            JSON lines of {prompt, completion}: TRL's SFTTrainer takes the loss on the completion alone
llama-factory  a folder with dataset_info.json, the pairs in alpaca columns and once more as sharegpt conversations,
               and a YAML that trains them there with the same adapter

Every row also carries the pair's id and languages, which those trainers ignore; where a row has none, the
languages are read from the instruction. `exchange_rows` says what is read of a row and what is refused. LLaMA-Factory's
template `empty` writes prompt and completion as they are, with the loss on the completion and nothing behind it; `end`
puts the model's end-of-text token there, as `train.end_of_text` does here. TRL adds its own.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spillover.core.config import RunConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import atomic, read_json, read_json_array, read_jsonl, write_json, write_jsonl, write_yaml
from spillover.core.languages import known_languages, language
from spillover.core.types import TrainingPair
from spillover.models.registry import on_hub
from spillover.stages.build.exchange_rows import entry_names, prompt_and_completion

log = logging.getLogger(__name__)

INSTRUCTION = re.compile(r"Translate the input from (?P<source>.+) to (?P<target>.+):\s*$")
INFO = "dataset_info.json"
ALPACA, SHAREGPT = "pairs", "pairs_sharegpt"
FORMATS = ("trl", "llama-factory")


def check_format(name: str | None, end: str = "") -> None:
    """ConfigError for an unknown format, or an end-of-text token for a trainer that adds its own."""
    if name is not None and name not in FORMATS:
        raise ConfigError(f"--format {name}: not known", hint=f"choose from {', '.join(FORMATS)}")
    if end and name != "llama-factory":
        raise ConfigError(f"--end-of-text {end}: only for --format llama-factory", hint="leave it out")


def export(folder: Path, pairs: Sequence[TrainingPair], name: str, config: RunConfig, *, end: str = "") -> Path:
    """Pairs in a format of FORMATS, written into `folder`; the file or folder that was written."""
    check_format(name, end)
    if name == "trl":
        write_trl(folder / "trl.jsonl", pairs)
        return folder / "trl.jsonl"
    write_llama_factory(folder / name, pairs, config, end=end)
    return folder / name


def write_trl(path: Path, pairs: Sequence[TrainingPair]) -> None:
    """JSON lines of prompt and completion."""
    write_jsonl(
        path, ({"prompt": pair.prompt, "completion": pair.completion} | _id_and_languages(pair) for pair in pairs)
    )


def write_llama_factory(folder: Path, pairs: Sequence[TrainingPair], config: RunConfig, *, end: str = "") -> None:
    """pairs.json (alpaca), pairs_sharegpt.json, dataset_info.json and train.yaml. end: the token to end a text with."""
    alpaca, sharegpt = [], []
    for pair in pairs:
        extra = _id_and_languages(pair) | ({"end": end} if end else {})
        answer = pair.completion + end
        alpaca.append({"instruction": pair.prompt, "input": "", "output": answer} | extra)
        turns = [{"from": "human", "value": pair.prompt}, {"from": "gpt", "value": answer}]
        sharegpt.append({"conversations": turns} | extra)
    _write_array(folder / f"{ALPACA}.json", alpaca)
    _write_array(folder / f"{SHAREGPT}.json", sharegpt)
    info = {
        ALPACA: {
            "file_name": f"{ALPACA}.json",
            "columns": {"prompt": "instruction", "query": "input", "response": "output"},
        },
        SHAREGPT: {
            "file_name": f"{SHAREGPT}.json",
            "formatting": "sharegpt",
            "columns": {"messages": "conversations"},
            "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
        },
    }
    write_json(folder / INFO, info)
    write_yaml(folder / "train.yaml", llama_factory_config(config))


def llama_factory_config(config: RunConfig) -> dict[str, Any]:
    """What `llamafactory-cli train` needs to train the same adapter, in the folder of the data."""
    train = config.train
    return {
        "model_name_or_path": on_hub(config.model.name),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": train.rank,
        "lora_alpha": int(train.alpha),
        "lora_dropout": train.dropout,
        "lora_target": "all" if isinstance(train.targets, str) else ",".join(train.targets),
        "dataset_dir": ".",
        "dataset": ALPACA,
        "template": "empty",
        "cutoff_len": train.max_tokens,
        "train_on_prompt": False,
        "packing": False,
        "per_device_train_batch_size": train.batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": train.epochs,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "warmup_ratio": train.warmup,
        "val_size": train.validation,
        "seed": config.seed if train.seed is None else train.seed,
        "logging_steps": 1,
        "save_strategy": "epoch",
        "report_to": "none",
        "output_dir": "adapter",
    }


def exchange_files(path: Path) -> list[Path]:
    """The files that are read for `path`: itself, and those that a dataset_info.json names. DataError when there is no
    such file."""
    info = path / INFO if path.is_dir() else path
    if not info.is_file():
        raise DataError(f"{info}: no such file", hint="build.files names files of pairs, or folders with " + INFO)
    if info.name != INFO:
        return [info]
    entry = _first_entry(info)
    return [info, info.parent / str(entry["file_name"])]


def read_exchange(path: Path) -> list[TrainingPair]:
    """Pairs from a file of any of the formats, or a folder with dataset_info.json, whose first entry counts.

    DataError with file:line for a row that is not a pair, that has more than a pair holds (earlier turns, tools), or
    whose languages are unknown."""
    info = path / INFO if path.is_dir() else path
    columns: Mapping[str, str] | None = None
    if info.name == INFO:
        entry = _first_entry(info)
        columns = entry_names(str(info), entry)
        log.info("%s: pairs are read from %s, its first entry", info, entry["file_name"])
        path = info.parent / str(entry["file_name"])
    exchange_files(path)
    names = {language(code).name: code for code in known_languages()}
    return [_pair(path, line, number, row, columns, names) for number, (line, row) in enumerate(_rows(path), start=1)]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of JSON lines or of a JSON array."""
    with path.open("rb") as file:
        start = file.read(256).decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    return read_json_array(path) if start.startswith("[") else read_jsonl(path)


def _pair(
    path: Path,
    line: int,
    number: int,
    row: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    names: Mapping[str, str],
) -> TrainingPair:
    prompt, completion = prompt_and_completion(f"{path}:{line}", row, columns)
    end = str(row.get("end") or "")
    completion = completion.removesuffix(end) if end else completion
    source, target = _languages(f"{path}:{line}", row, prompt, names)
    # 0 is an id, too.
    pair_id = f"{path.stem}-{number:05}:{source}-{target}" if row.get("id") in (None, "") else str(row["id"])
    return TrainingPair(pair_id, language(source).code, language(target).code, prompt, completion)


def _languages(place: str, row: Mapping[str, Any], prompt: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Codes of the source and the target: in columns of their own, else as the instruction names them."""
    source, target = row.get("source"), row.get("target")
    if isinstance(source, str) and isinstance(target, str):
        return source, target
    match = INSTRUCTION.search(prompt)
    if not match:
        raise DataError(
            f"{place}: not a pair: its languages are unknown",
            hint='columns source and target, or "Translate the input from X to Y:" at the prompt\'s end',
        )
    unknown = [word for word in match.groups() if word not in names]
    if unknown:
        raise DataError(f"{place}: language {unknown[0]!r} is not known", hint=", ".join(names))
    return names[match["source"]], names[match["target"]]


def _first_entry(info: Path) -> Mapping[str, Any]:
    entries = read_json(info)
    entry = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise DataError(f"{info}: its first entry names no file", hint='{"pairs": {"file_name": "pairs.json", ...}}')
    if Path(entry["file_name"]).name != entry["file_name"]:
        raise DataError(f"{info}: {entry['file_name']} is not in its folder", hint="put the file itself there")
    return entry


def _id_and_languages(pair: TrainingPair) -> dict[str, str]:
    return {"id": pair.id, "source": pair.source, "target": pair.target}


def _write_array(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A JSON array with a row a line, so that a fault has a line."""
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    with atomic(path) as partial:
        partial.write_text(f"[\n{body}\n]\n", encoding="utf-8")
