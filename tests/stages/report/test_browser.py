"""The page in a real Chromium: opened from disk, sorted, filtered, printed; hostile text in it runs nothing."""

from __future__ import annotations

import base64
import csv
import io
import shutil
from dataclasses import replace

import pytest

from spillover.core.files import write_jsonl
from spillover.stages.compare.comparison_files import read_comparisons, write_comparisons
from spillover.stages.report import report
from spillover.stages.report.stage import FigureFormat, write_figures
from tests.stages.report.builders import make_run

EVIL = "</script><script>hacked = 1</script><img src=x onerror='hacked = 2'>\"'\u202eevil\u2066 {code} {i} ${{hacked = 3}} "
LONG = "x<b>y</b> " * 10_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a run whose every free text is hostile."""
    path = tmp_path_factory.mktemp("page") / "run"
    run = make_run(path, text=EVIL + LONG, model=EVIL, name=EVIL, labels=(f"{EVIL}a", f"{EVIL}b"))
    return report(run.path).as_uri()


def opened(browser, address, width):
    """(page, every request, every message on the console) once all charts are drawn."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, messages = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    return page, requests, messages


@pytest.fixture(scope="module")
def wide(browser, address):
    return opened(browser, address, 1440)


@pytest.fixture
def page(wide):
    return wide[0]


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_it_opens_from_disk_without_a_request_or_a_console_message_and_draws_every_chart(wide, address):
    page, requests, messages = wide
    assert requests == [address]
    assert messages == []
    states = page.locator(".plot").evaluate_all("plots => plots.map((plot) => plot.dataset.drawn)")
    assert len(states) >= 8
    assert set(states) == {"done"}
    assert page.locator("#verdict .plot svg.marks").count() == 1
    assert overflow(page) <= 0


@pytest.mark.parametrize("width", [1440, 1280, 1000, 700])
def test_charts_take_the_width_that_the_page_has(browser, address, wide, width):
    page = wide[0] if width == 1440 else opened(browser, address, width)[0]
    shares = page.locator(".plot").evaluate_all(
        "plots => plots.map((plot) => [plot.dataset.chart, plot.querySelector('svg').getBoundingClientRect().width / plot.clientWidth])"
    )
    assert {name: share for name, share in shares if not 0.96 <= share <= 1.002} == {}
    if width != 1440:
        page.close()


def test_hostile_text_is_shown_and_runs_nothing(page):
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("img").count() == 0
    assert "<script>hacked = 1</script>" in page.inner_text("h1")
    assert "onerror='hacked = 2'" in page.inner_text(".facts")
    assert "<script>hacked = 1</script>" in page.locator("#data").text_content()
    shown = page.locator(".item .text").first.text_content()
    assert shown.count("x<b>y</b> ") == 10_000, "an item of 100 kB is there whole"
    assert page.locator(".item .text b").count() == 0
    # The direction of a text ends with it.
    assert page.locator(".item .text").first.evaluate("node => getComputedStyle(node).unicodeBidi") in (
        "isolate",
        "plaintext",
    )


def test_the_policy_lets_no_other_script_run(page):
    page.evaluate(
        "document.body.appendChild(Object.assign(document.createElement('script'), {textContent: 'hacked = 4'}))"
    )
    assert page.evaluate("typeof hacked") == "undefined"
    tried = "fetch('data:,x').then(() => 'let through', () => 'refused')"
    assert page.evaluate(tried) == "refused"


def test_a_click_on_a_heading_sorts_by_number_and_another_reverses_the_order(page):
    heading = page.locator("#table-1 th", has_text="Change").first
    values = "rows => rows.map((row) => Number(row.cells[3].dataset.v))"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    up = page.locator("#table-1 tbody tr").evaluate_all(values)
    assert up == sorted(up)
    heading.locator("button").click()
    assert page.locator("#table-1 tbody tr").evaluate_all(values) == up[::-1]


def test_the_table_of_components_sorts_by_the_headings_under_its_groups(page):
    headings = page.locator("#components-1 thead tr:last-child th")
    assert headings.all_inner_texts()[:2] == ["Before", "After"]
    values = "rows => rows.map((row) => Number(row.cells[6].dataset.v))"
    headings.nth(5).locator("button").click()
    assert headings.nth(5).get_attribute("aria-sort") == "ascending"
    sorted_values = page.locator("#components-1 tbody tr").evaluate_all(values)
    assert sorted_values == sorted(sorted_values)
    page.locator("#components-1 thead th", has_text="Language").locator("button").click()
    assert page.locator("#components-1 tbody th").all_inner_texts() == ["English", "German", "Russian", "Thai"]


def test_languages_are_filtered_by_script_family_and_seen_and_downloaded_as_csv(page):
    def shown():
        return page.locator("#table-1 tbody tr:visible th").all_inner_texts()

    bar = page.locator("[data-filters]")
    bar.get_by_label("Script").select_option("Latn")
    assert set(shown()) == {"English", "German"}
    bar.get_by_label("Seen").select_option("trained on")
    assert shown() == ["German"]
    assert page.locator("#components-1 tbody tr:visible th").all_inner_texts() == ["German"]
    bar.get_by_label("Seen").select_option("")
    bar.get_by_label("Script").select_option("")
    bar.get_by_label("Family").select_option("Slavic")
    assert shown() == ["Russian"]
    bar.get_by_label("Family").select_option("")
    link = page.locator("a[download$='.csv']")
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "sentiment-languages.csv"
    text = base64.b64decode(link.get_attribute("href").partition("base64,")[2]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["language"] for row in rows] == ["en", "de", "ru", "th"]
    assert "accuracy_boot_low" in rows[0]


def test_the_slider_takes_the_scatter_to_another_layer(page):
    plot = page.locator('[data-chart="pca-all"]')
    slider = plot.locator("input[type=range]")
    where = "paths => paths.map((path) => path.getAttribute('transform')).join()"
    before = plot.locator(".mark-symbol.role-mark path").evaluate_all(where)
    slider.fill("2")
    page.wait_for_timeout(300)
    after = plot.locator(".mark-symbol.role-mark path").evaluate_all(where)
    assert before != after


def test_items_are_searched_filtered_and_paged(page):
    items = page.locator(".items")
    count = items.locator("output")
    total = int(count.inner_text().split(" of ")[1].split()[0])
    assert total > 8
    items.get_by_text("Next").click()
    assert count.inner_text().startswith("9 to ")
    items.get_by_label("Language").select_option("Thai")
    assert set(items.locator(".about > span:nth-child(2)").all_inner_texts()) == {"Thai"}
    items.get_by_label("Flip").select_option("newly wrong")
    assert set(items.locator(".flip").all_inner_texts()) <= {"newly wrong"}
    items.get_by_label("Flip").select_option("")
    items.get_by_role("searchbox").fill("plain th")
    page.wait_for_timeout(400)
    assert all(text.startswith("Plain th") for text in items.locator(".text").all_inner_texts())
    assert items.locator(".shares").first.inner_text().count("→") == 2
    items.get_by_role("searchbox").fill("")


def test_a_table_stands_behind_each_chart(page):
    details = page.locator("#figure-lens details.numbers")
    details.locator("summary").click()
    details.locator("table").wait_for()
    assert details.locator("th").all_inner_texts()[:4] == ["Model", "Language", "Words", "Layer"]
    assert details.locator("tbody tr").count() == 48
    assert page.locator("details.numbers").count() == page.locator(".plot").count()


def test_it_prints_with_everything_open(page):
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.print:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.print:not([open])").count() > 0


def test_dark_and_light_follow_the_reader(page):
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        ink = "node => getComputedStyle(node).fill"
        assert page.locator("#verdict .role-axis-label text").first.evaluate(ink) != grounds[-1]
    assert grounds[0] == "rgb(255, 255, 255)" != grounds[1]
    page.emulate_media(color_scheme="light")


def test_on_a_phone_nothing_sticks_out(browser, address):
    page, _, messages = opened(browser, address, 390)
    assert messages == []
    assert overflow(page) <= 0
    sticking = (
        "plots => plots.filter((plot) => plot.scrollWidth > plot.clientWidth + 1).map((plot) => plot.dataset.chart)"
    )
    assert page.locator(".plot").evaluate_all(sticking) == []
    assert page.locator("#verdict .plot svg.marks").evaluate("node => node.getBoundingClientRect().width") <= 374
    page.close()


# What a folder may be called: no slash.
EVIL_FOLDER = "<img src=x onerror='hacked = 5'>"


@pytest.fixture(scope="module")
def hostile_runs(tmp_path_factory):
    """Two runs whose names are hostile: of the folder, tasks, label set, groups, models, stages, versions, settings."""
    run = make_run(tmp_path_factory.mktemp("hostile") / EVIL_FOLDER, text=EVIL, model=EVIL, name=EVIL)
    (run.path / "probe" / "tuned").rename(run.path / "probe" / EVIL_FOLDER)
    write_jsonl(run.path / "train" / "steps.jsonl", [{"step": i, "loss": 3 / i, "note": EVIL} for i in range(1, 6)])
    (run.path / "config.yaml").write_text(f"name: {EVIL!r}\n", encoding="utf-8")
    manifest = run.manifest()
    stage = {"state": EVIL, "key": EVIL, "settings": {EVIL: EVIL}, "facts": {EVIL: EVIL, "arm": EVIL}}
    run.update(stages=manifest["stages"] | {"build": stage, EVIL: stage}, versions={EVIL: EVIL}, git=EVIL, seed=EVIL)
    comparisons = []
    for one in read_comparisons(run.path / "compare"):
        verdict = [replace(sentence, text=EVIL) for sentence in one.verdict]
        groups = one.groups.assign(group=one.groups["group"].replace({"unseen": EVIL}))
        languages = one.languages.assign(reason=EVIL)
        comparisons.append(replace(one, task=EVIL, label_set=EVIL, groups=groups, languages=languages, verdict=verdict))
    write_comparisons(run.path / "compare", comparisons)
    return run.path, shutil.copytree(run.path, run.path.with_name(f"2 {EVIL_FOLDER}"))


def test_hostile_names_are_shown_and_run_nothing(browser, hostile_runs, tmp_path):
    address = report(*hostile_runs, title=EVIL, out=tmp_path / "page.html").as_uri()
    page, requests, messages = opened(browser, address, 1440)
    assert page.evaluate("typeof hacked") == "undefined"
    assert requests == [address]
    assert messages == [], "the policy had nothing to refuse"
    assert page.locator("img, script[src], iframe, object").count() == 0
    assert set(page.locator(".plot").evaluate_all("plots => plots.map((plot) => plot.dataset.drawn)")) == {"done"}
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    page.wait_for_timeout(300)
    assert page.locator("details.numbers table").count() >= 8
    assert page.evaluate("typeof hacked") == "undefined"
    text = page.locator("body").text_content()
    assert "<script>hacked = 1</script>" in text
    assert EVIL_FOLDER in text
    page.close()


def test_hostile_names_in_the_files_of_figures_run_nothing(browser, hostile_runs):
    for path in write_figures(*hostile_runs, formats=[FigureFormat.HTML, FigureFormat.SVG]):
        page = browser.new_page()
        requests = []
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.goto(path.as_uri())
        if path.suffix == ".html":
            page.wait_for_selector("#vega-chart svg.marks")
        assert page.evaluate("typeof hacked") == "undefined", path.name
        assert page.evaluate("document.getElementsByTagName('img').length") == 0, path.name
        assert len(requests) == 1, path.name
        page.close()
