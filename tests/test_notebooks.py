"""The notebooks in `examples/` run as they stand, on a tiny model here and on the packaged one with `-m packaged`."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from spillover.models.registry import packaged_models
from tests.builders import save_model

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# What is set in place of the notebook's parameters, so that it takes seconds.
SMALL = {
    "quickstart": {"languages": ["en", "es", "sw"], "limit": 2, "pairs": 4},
    "inside_the_model": {"lens_languages": ["zh"], "pca_languages": ["en", "de"], "items": 6, "random_weights": False},
}
LARGEST = 400_000


def cells_of(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source_of(cell: dict) -> str:
    return "".join(cell["source"])


def parameters_of(path: Path) -> str:
    (cell,) = [cell for cell in cells_of(path) if "parameters" in cell["metadata"].get("tags", ())]
    return source_of(cell)


def with_values(source: str, values: dict) -> str:
    """The cell of parameters with other values; each must be one of its own."""
    for name, value in values.items():
        source, count = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", source, flags=re.MULTILINE)
        assert count == 1, name
    return source


def test_both_notebooks_are_there():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_place_of_another_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    assert not re.search(r"/(home|work|tmp|root|Users)/", text)
    assert "Traceback" not in text
    notebook = json.loads(text)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_cell_by_cell_on_a_tiny_model(path, tmp_path, monkeypatch):
    """In this process, with the last expression of each cell shown as a notebook shows it."""
    monkeypatch.chdir(tmp_path)
    values = SMALL[path.stem] | {"model_name": str(save_model(tmp_path / "model"))}
    names: dict = {}
    shown = []
    for cell in cells_of(path):
        if cell["cell_type"] != "code":
            continue
        source = source_of(cell)
        tree = ast.parse(with_values(source, values) if source == parameters_of(path) else source)
        last = tree.body[-1] if isinstance(tree.body[-1], ast.Expr) else None
        whole = ast.Module(body=tree.body[:-1] if last else tree.body, type_ignores=[])
        exec(compile(whole, path.name, "exec"), names)
        if last and not isinstance(last.value, ast.Call | ast.Name | ast.Subscript | ast.Attribute):
            raise AssertionError(f"{cell['id']}: ends in what shows nothing")
        if last:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            if hasattr(value, "_repr_html_"):
                shown.append(value._repr_html_())
    assert len(shown) >= 3
    assert not [html for html in shown if str(tmp_path) in html]


@pytest.mark.packaged
@pytest.mark.enable_socket
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_kernel_on_the_packaged_model(path, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    if not all(packaged_models()["gemma3-270m"].files()):
        pytest.skip("gemma3-270m is not installed")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = with_values(cell.source, SMALL[path.stem])
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "text/html" in output.get("data", {})]) >= 3
