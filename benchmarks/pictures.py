"""The README's pictures, from a finished run of `spillover demo`: `make pictures RUN=runs/demo`.

1. docs/demo-change.svg: the change by language with its intervals, as `spillover report --figures svg` writes it.
2. docs/page-first-screen.png and docs/page-phone.png: screenshots of the page, the second dark and as wide as a phone.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from spillover.stages.report import report
from spillover.stages.report.stage import FigureFormat, write_figures

DOCS = Path(__file__).resolve().parent.parent / "docs"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SCREENS = {"page-first-screen": (1280, 860, "light"), "page-phone": (390, 844, "dark")}


def main() -> None:
    """Write the three files and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished demo run")
    run = parser.parse_args().run
    change = next(path for path in write_figures(run, formats=[FigureFormat.SVG]) if path.name.startswith("change-"))
    written = [DOCS / "demo-change.svg", *screenshots(report(run))]
    shutil.copyfile(change, written[0])
    for path in written:
        print(f"{path.relative_to(DOCS.parent)}: {path.stat().st_size:,} bytes")


def screenshots(page: Path) -> list[Path]:
    """The first screen of a page in each of `SCREENS`, written to docs; their paths."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    written = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, (width, height, scheme) in SCREENS.items():
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached")
            written.append(DOCS / f"{name}.png")
            tab.screenshot(path=written[-1])
        browser.close()
    return written


if __name__ == "__main__":
    main()
