"""The page of findings, as a reader of Markdown has it."""

from __future__ import annotations

from markdown_it import MarkdownIt

from spillover.stages.report.claims import Claim, Claims
from spillover.stages.report.findings_page import write_findings
from tests.stages.report.test_claims import BY_ARM, arms, make_runs


def test_the_page_has_the_verdict_numbers_contrasts_and_what_would_settle_it(tmp_path):
    make_runs(tmp_path, BY_ARM, arms(3.0, 1.0))
    hostile = Claim(runs="none", claim="<b>Other</b> | languages", paper="[x](http://x)")
    page = tmp_path / "pages" / "findings.md"
    write_findings([tmp_path], Claims(claims=(BY_ARM, hostile), settle="A larger model."), page)
    text = page.read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<td><strong>holds</strong></td>" in html
    assert "<td><strong>not run</strong></td>" in html
    assert "<h2>It is translation: holds</h2>" in html
    assert html.count("<td>arm translate</td>") == 1
    assert "translate beats shuffled" in html
    assert "A larger model." in html
    assert "<b>" not in html
    assert 'href="http://x"' not in html
    assert write_findings([tmp_path], Claims(claims=(BY_ARM, hostile), settle="A larger model."), page)
    assert page.read_text(encoding="utf-8") == text
