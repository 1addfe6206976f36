"""Run the notebooks of `examples/` as they stand and keep their outputs: `make notebooks`.

Each runs in a folder of its own that is removed afterwards. Outputs keep what a reader sees: HTML where there is any,
and neither log lines nor times of execution.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(EXAMPLES.glob("*.ipynb")))
    for path in parser.parse_args().notebooks:
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(notebook, kernel_name="python3", timeout=3600, record_timing=False)
            client.execute(cwd=folder)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [_shown(output) for output in cell.outputs if output.get("name") != "stderr"]
        notebook.metadata.language_info = {"name": "python"}
        nbformat.write(notebook, path)
        print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")


def _shown(output: Any) -> Any:
    data = output.get("data", {})
    if "text/html" in data:
        data.pop("text/plain", None)
    return output


if __name__ == "__main__":
    main()
