"""The configs in `examples/` load: no key was renamed under them, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from spillover.core.config import RunConfig, load_config
from spillover.core.files import read_yaml, resources
from spillover.stages.audit import audit
from spillover.stages.report.claims import has_settings, read_claims
from spillover.sweep import load_grid
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task

EXAMPLES = Path(__file__).parent.parent / "examples"
FINDINGS = EXAMPLES / "findings"
CONFIGS = sorted([*EXAMPLES.glob("*.yaml"), *FINDINGS.glob("*.yaml")])


def configs_of(path: Path) -> list[RunConfig]:
    return load_grid(path) if {"grid", "cases"} & set(read_yaml(path)) else [load_config(path)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_an_example_loads_and_names_known_tasks_and_languages(path):
    for config in configs_of(path):
        for task in {*config.tasks, config.build.task}:
            wordings = load_task(task).wordings
            sources = () if config.build.sources == "all" else config.build.sources
            assert set(sources) <= set(wordings), (path.name, task)


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_finding_says_its_command_and_its_time_and_stands_in_the_table(path):
    comment = path.read_text(encoding="utf-8").split("\nname:")[0]
    assert re.search(rf"spillover (run|sweep) examples/findings/{path.name}", comment)
    assert re.search(r"About [0-9]+ (hours|minutes).* on two cores", comment)
    (row,) = [line for line in (FINDINGS / "README.md").read_text().splitlines() if f"]({path.name})" in line]
    assert int(row.split("|")[3]) == len(configs_of(path))


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_finding_trains_on_questions_that_there_are_and_never_on_scored_items(path):
    paper = read_yaml(resources() / "paper.yaml")["tasks"]
    for config in configs_of(path):
        build = config.build
        if build.questions == "unscored":
            assert config.fold or build.task not in config.tasks
        elif config.data == "data/paper" and not build.files:
            assert set(build.sources) <= set(paper[build.task]["question_languages"])
        assert config.data == "demo" or build.files or build.overlap == "drop"


def test_the_main_finding_cross_fits_every_item_with_three_seeds_and_a_placebo():
    points = {(point.train.seed, point.fold, point.build.arm) for point in load_grid(FINDINGS / "spillover.yaml")}
    assert points == set(product((0, 1, 2), ("1/2", "2/2"), ("translate", "shuffled")))


def test_every_claim_of_the_paper_has_runs_that_test_it():
    configs = {read_yaml(path)["name"]: path for path in FINDINGS.glob("*.yaml")}
    for claim in read_claims().claims:
        cells = configs_of(configs[claim.runs])
        found = [cell for cell in cells if claim.first and has_settings(cell, claim.first)]
        assert bool(found) == bool(claim.first), claim.runs
        assert len(cells) > 1 or claim.alternatives or claim.inside


def test_the_harder_reviews_are_parallel_and_the_audit_finds_nothing():
    benchmark = open_benchmark("sentiment", data=EXAMPLES / "harder-reviews")
    assert list(benchmark.files) == list(open_benchmark("sentiment").files)
    labels = {tuple((item.id, item.label) for item in items) for items in benchmark.examples().values()}
    (of_all,) = labels
    assert sorted(label for _, label in of_all) == ["negative"] * 10 + ["positive"] * 10
    assert not audit(benchmark)


def test_there_are_examples_of_runs_and_of_sweeps():
    grids = ["grid" in read_yaml(path) for path in CONFIGS]
    assert len(grids) >= 5
    assert any(grids)
    assert not all(grids)


@pytest.mark.parametrize("path", sorted((EXAMPLES / "accelerate").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_for_several_devices_is_one_that_accelerate_reads(path):
    assert load_config_from_file(str(path)).num_processes > 1


def test_the_costs_of_the_page_about_servers_are_what_the_script_prints():
    page = (EXAMPLES.parent / "docs" / "server.md").read_text(encoding="utf-8")
    command, shown = re.search(r"```console\n\$ python (.*?)\n(.*?)```", page, flags=re.DOTALL).groups()
    answer = subprocess.run(
        [sys.executable, *shlex.split(command)], cwd=EXAMPLES.parent, capture_output=True, text=True
    )
    assert answer.stdout == shown


def test_a_server_gets_its_adapters_as_they_were_given(tmp_path):
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    program.chmod(0o755)

    def arguments(*adapters):
        command = ["sh", str(EXAMPLES / "serving" / "cpu.sh"), "folder", *adapters]
        environment = os.environ | {"PYTHON": str(program)}
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return answer.stdout.splitlines()

    given = arguments("es-de=my runs/adapter", "it=other")
    assert given[-3:] == ["--lora-modules", "es-de=my runs/adapter", "it=other"]
    assert "--enable-lora" in given
    assert not any("lora" in argument for argument in arguments())


@pytest.mark.parametrize("path", sorted((EXAMPLES / "serving").glob("*.sh")), ids=lambda path: path.name)
def test_a_command_that_starts_a_server_is_one_that_a_shell_reads(path):
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert "--max-logprobs 128" in path.read_text(encoding="utf-8")
