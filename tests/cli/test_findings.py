from __future__ import annotations

from tests.stages.report.test_claims import BY_ARM, arms, make_runs


def test_findings_are_listed_and_written(tmp_path, call):
    make_runs(tmp_path / "runs", BY_ARM, arms(3.0, 1.0))
    claims = tmp_path / "claims.yaml"
    claims.write_text("claims: [{runs: arms, claim: It is translation, paper: none, first: {build.arm: translate}}]\n")
    page = tmp_path / "found.md"
    code, output, error = call("findings", tmp_path / "runs", "--claims", claims, "--out", page)
    assert code == 0, error
    assert output.splitlines() == ["- It is translation (sentiment): holds", f"wrote {page}"]
    assert "## It is translation: holds" in page.read_text(encoding="utf-8")


def test_a_run_that_tests_no_claim_writes_no_page(tmp_path, call):
    make_runs(tmp_path / "runs", BY_ARM, arms(3.0, 1.0))
    code, _, error = call("findings", tmp_path / "runs", "--out", tmp_path / "found.md")
    assert code == 2
    assert "no claim is tested by runs named arms-0" in error
    assert not (tmp_path / "found.md").exists()
