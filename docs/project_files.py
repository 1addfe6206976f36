"""A hook of mkdocs: files of the project that pages or the navigation name are part of the site.

The site is the project's folder with docs/ as its root: docs/server.md is server.md there, examples/serving/cost.py
keeps its path. A Markdown file becomes a page, every other file is copied. A link to what does not exist is left as it
is, and the strict build refuses it. cli.md is made of the help texts that the tests hold.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
HELP = ROOT / "tests" / "cli" / "help.txt"
LINK = re.compile(r"(?<=\]\()(?!\w+:)[^)\s#]+")


def on_files(files: Files, config: Any) -> Files:
    """The files of docs/, those of the project that they or the navigation name, and those that these name."""
    pages = [file.src_uri for file in files.documentation_pages()]
    in_nav = {uri for uri in _nav_pages(config.nav) if files.get_file_from_path(uri) is None}
    linked = list(in_nav)
    while pages or linked:
        while linked:
            uri = linked.pop()
            path = ROOT / uri
            if files.get_file_from_path(uri) is None and path.is_file():
                level = InclusionLevel.INCLUDED if uri in in_nav else InclusionLevel.NOT_IN_NAV
                files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=level))
                if uri.endswith(".md"):
                    pages.append(uri)
        if pages:
            page = pages.pop()
            text = (ROOT / _project_path(page)).read_text(encoding="utf-8")
            linked = [_site_path(posixpath.normpath(posixpath.join(posixpath.dirname(_project_path(page)), link)))
                      for link in LINK.findall(text)]  # fmt: skip
    files.append(File.generated(config, "cli.md", content=command_line_page(HELP.read_text(encoding="utf-8"))))
    return files


def command_line_page(text: str) -> str:
    """The help of every verb, a section each. text: `$ spillover VERB --help`, then what it prints, and so on."""
    lines = ["# Command line", "", "The help of every verb."]
    for verb, printed in re.findall(r"^\$ spillover (.*?) *--help\n(.*?)(?=^\$ |\Z)", text, re.MULTILINE | re.DOTALL):
        lines += ["", f"## spillover {verb}".rstrip(), "", "```text", printed.strip(), "```"]
    return "\n".join(lines) + "\n"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with each link to a file of the project as it is within the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(_project_path(here))

    def within_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[0]))
        if not (ROOT / target).is_file():
            return link[0]
        return posixpath.relpath(_site_path(target), posixpath.dirname(here) or ".")

    return LINK.sub(within_site, markdown)


def _nav_pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _nav_pages(entry)


def _project_path(uri: str) -> str:
    """Path in the project of a file of the site."""
    return f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else uri


def _site_path(path: str) -> str:
    """Path in the site of a file of the project."""
    return path.removeprefix("docs/")
