"""The report of a sweep in a real browser, opened from disk; needs Debian's chromium and the package playwright."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dip_lab.tables.report import write_report

CHROMIUM = shutil.which("chromium")
playwright_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")]

NASTY = "<script>alert('x')</script>"
# name, net, seed, psnr, iterations
CELLS = (("a", "skip", 0, 30.0, 900), ("b", "unet", 0, 9.5, 1000), ("c", "skip", 1, 31.0, 80),
         ("d", NASTY, 0, None, None))


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Three fits of a bright target, the darker the better, and one that failed."""
    group = tmp_path_factory.mktemp("outputs") / "nets #1"
    for name, net, seed, psnr, iterations in CELLS:
        folder = group / name
        folder.mkdir(parents=True)
        result = {"task": "denoise", "net": net, "seed": seed, "psnr": psnr, "ssim": psnr and psnr / 40,
                  "iterations": iterations, "chosen_iteration": 50, "peak_iteration": 75, "psnr_peak": 32.0,
                  "seconds": 5, "status": "done" if psnr else "failed", "answer": "dip_denoised",
                  "config": {"net": {"width": 4, "kind": net}, "seed": seed}, "overrides": {"net": net, "seed": seed}}
        if psnr is None:
            result["error"] = f"no {NASTY} memory"
            (folder / "error.txt").write_text(f"Traceback\n{NASTY}")
        else:
            for stem, value in (("target", 255), ("observed", 128), ("dip_denoised", int(psnr))):
                Image.fromarray(np.full((400, 600), value, np.uint8)).save(folder / f"{stem}.png")
            with open(folder / "history.csv", "w", newline="") as file:
                rows = [(i, i / 10, 1 / i, psnr - 100 / i, "") for i in range(25, 101, 25)]
                csv.writer(file).writerows([("iteration", "seconds", "loss", "psnr", "psnr_average"), *rows])
        (folder / "result.json").write_text(json.dumps(result))
    return group


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, group):
    """Opens the report; at the end, no script may have failed and no file may have been missing."""
    contexts, complaints = [], []

    def open_(watch=None, **settings):
        path = write_report(group, watch)
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(opened):
    return opened()


def until(page, expression):
    """Wait until it is true; the page's own rules forbid the eval of playwright's wait_for_function."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def column(page, key):
    """The shown fields of a column, from the top."""
    return page.evaluate("""key => {
        const place = document.querySelector(`th[data-key="${key}"]`).cellIndex;
        return [...document.querySelectorAll("#cells tbody tr:not([hidden])")].map(tr => tr.cells[place].textContent);
    }""", key)


def card_labels(page):
    return page.locator(".card:visible h3").all_inner_texts()


def heading(page, key):
    return page.locator(f'th[data-key="{key}"]')


def split(stage):
    return stage.evaluate("stage => stage.style.getPropertyValue('--split')")


def transforms(page):
    return page.evaluate("[...document.querySelectorAll('.side img')].map(image => getComputedStyle(image).transform)")


def test_a_click_on_a_heading_sorts_numbers_as_numbers_and_the_cards_too(page):
    heading(page, "psnr").get_by_role("button").click()
    assert column(page, "psnr") == ["31.00", "30.00", "9.50", ""]
    assert heading(page, "psnr").get_attribute("aria-sort") == "descending"
    assert card_labels(page)[0] == "skip, seed 1"
    heading(page, "psnr").get_by_role("button").press("Enter")
    assert column(page, "psnr") == ["9.50", "30.00", "31.00", ""]  # empty fields are last either way
    heading(page, "iterations").get_by_role("button").click()
    assert column(page, "iterations") == ["80", "900", "1\u2009000", ""]
    assert heading(page, "psnr").get_attribute("aria-sort") == "none"


def test_filters(page):
    page.get_by_label("Filter").fill("SKIP done")
    assert column(page, "net") == ["skip", "skip"] and len(card_labels(page)) == 2
    assert page.locator("#shown").inner_text() == "2 of 4 shown"
    page.locator('select[data-key="seed"]').select_option("1")
    assert column(page, "seed") == ["1"]
    page.get_by_label("Filter").fill("")
    page.locator('select[data-key="seed"]').select_option("all")
    page.locator('select[data-key="net"]').select_option(NASTY)
    assert column(page, "status") == ["failed"]


def test_the_best_of_the_shown_is_bold(page):
    assert page.locator("td.best").all_inner_texts() == ["31.00", "0.7750"]
    page.locator('select[data-key="seed"]').select_option("0")
    assert page.locator("td.best").all_inner_texts() == ["30.00", "0.7500"]


def test_the_line_between_the_pictures_by_keyboard_and_by_mouse(page):
    card = page.locator(".card:has(.side)").first
    card.scroll_into_view_if_needed()
    card.locator("input[type=range]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert split(card.locator(".stage")) == "53%"
    box = card.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 0.53 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()
    assert split(card.locator(".stage")) == "20%" and card.locator("input[type=range]").input_value() == "20"
    card.locator("[data-left]").select_option("target")
    assert card.locator("[data-side=left] img").get_attribute("alt") == "target"


def test_at_first_the_whole_picture_is_seen_and_zoom_moves_all_together(page):
    page.locator("#pictures").scroll_into_view_if_needed()
    page.locator(".side img").first.wait_for()
    stage = page.locator(".stage").filter(has=page.locator("img")).first
    box, image = stage.bounding_box(), stage.locator("img").first.bounding_box()
    assert [image[k] for k in ("x", "y", "width", "height")] == pytest.approx(
        [box[k] for k in ("x", "y", "width", "height")], abs=0.01)
    stage.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    before = set(transforms(page))
    assert len(before) == 1 and before.pop().startswith("matrix(2.25, 0, 0, 2.25")
    assert page.locator("#zoom").inner_text() == "225 %"
    left = stage.locator("img").first.bounding_box()["x"]
    page.keyboard.press("ArrowRight")
    assert stage.locator("img").first.bounding_box()["x"] < left and len(set(transforms(page))) == 1
    until(page, "document.querySelectorAll('.side img[data-full=shown]').length >= 2")  # from the disk
    assert stage.locator("img").first.evaluate("image => image.naturalWidth") == 600
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)  # away from the line: the picture is dragged
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 20, steps=3)
    page.mouse.up()
    assert stage.locator("img").first.bounding_box()["x"] > left - 60 and split(stage) == "50%"
    page.keyboard.press("0")
    assert set(transforms(page)) == {"matrix(1, 0, 0, 1, 0, 0)"}


def test_the_wheel_zooms_a_picture_that_was_clicked_and_scrolls_the_page_otherwise(page):
    stage = page.locator(".stage:has(.side)").first
    stage.scroll_into_view_if_needed()
    stage.hover(position={"x": 30, "y": 30})
    page.mouse.wheel(0, -100)
    page.wait_for_timeout(100)
    assert page.locator("#zoom").inner_text() == "100 %"
    stage.click(position={"x": 30, "y": 30})
    page.mouse.wheel(0, -100)
    until(page, "document.getElementById('zoom').textContent !== '100 %'")
    page.get_by_role("button", name="whole picture").click()
    assert page.locator("#zoom").inner_text() == "100 %"
    page.keyboard.down("Control")
    stage.hover(position={"x": 30, "y": 30})
    page.mouse.wheel(0, -100)
    until(page, "document.getElementById('zoom').textContent !== '100 %'")


def test_the_page_works_where_the_full_pictures_are_not(browser, group, tmp_path):
    alone = tmp_path / "report.html"
    alone.write_bytes(write_report(group).read_bytes())
    page = browser.new_page()
    page.goto(alone.as_uri())
    stage = page.locator(".stage:has(.side)").first
    stage.focus()
    page.keyboard.press("+")
    until(page, "document.querySelectorAll('.side img[data-full=missing]').length >= 2")
    assert stage.locator("img").first.evaluate("image => image.naturalWidth") == 256
    page.close()


def test_touch(opened):
    page = opened(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    stage = page.locator(".stage:has(.side)").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    client = page.context.new_cdp_session(page)

    def touch(kind, *points):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": box["x"] + u * box["width"], "y": box["y"] + v * box["height"], "id": i}
            for i, (u, v) in enumerate(points)]})

    touch("touchStart", (0.5, 0.5))
    for u in (0.6, 0.7, 0.8):
        touch("touchMove", (u, 0.5))
    touch("touchEnd")
    assert split(stage) == "80%"
    touch("touchStart", (0.2, 0.9))
    for v in (0.8, 0.6, 0.4):
        touch("touchMove", (0.22, v))
    touch("touchEnd")
    assert split(stage) == "80%"  # the finger meant to scroll
    page.evaluate("scrollTo(0, 0)")
    stage.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = stage.bounding_box()
    touch("touchStart", (0.4, 0.5), (0.6, 0.5))
    for d in (0.15, 0.2, 0.25, 0.3):
        touch("touchMove", (0.5 - d, 0.5), (0.5 + d, 0.5))
    touch("touchEnd")
    until(page, "parseFloat(document.getElementById('zoom').textContent) > 150")


def test_curves_are_coloured_by_a_key_and_can_be_hidden(page):
    def colours():
        return page.locator('[data-curve="psnr"] .curve').evaluate_all("all => all.map(curve => curve.style.color)")

    assert len(colours()) == 3 and len(set(colours())) == 2  # two nets
    page.locator("#colour").select_option("cell")
    assert len(set(colours())) == 3
    page.locator("#colour").select_option("seed")
    page.locator(".legend button", has_text="0").click()
    assert len(colours()) == 1
    page.locator(".legend button", has_text="all").click()
    marks = [page.locator(f'[data-curve="{curve}"] .{mark}').count() for curve in ("psnr", "loss")
             for mark in ("dot", "ring")]
    assert marks == [3, 3, 3, 0]  # the peak is one of the PSNR
    page.locator('tr:has-text("skip") input').first.check()
    assert len(colours()) == 1 and "the ticked cells" in page.locator("#overlaid").inner_text()
    page.locator("#clear").click()
    page.get_by_label("Filter").fill("unet")
    assert len(colours()) == 1


def test_values_of_the_curves_under_the_mouse_and_by_keys(page):
    plot = page.locator('[data-curve="psnr"] svg').first
    plot.focus()
    tip = page.locator('[data-curve="psnr"] .tip')
    assert "iteration 50 (chosen)" in tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert "iteration 75 (peak)" in tip.inner_text() and "dB" in tip.inner_text() and "loss 0.0133" in tip.inner_text()
    label = tip.locator("b").inner_text()
    page.keyboard.press("ArrowDown")
    assert tip.locator("b").inner_text() != label
    dot = page.locator('[data-curve="loss"] .dot').first.bounding_box()
    page.mouse.move(dot["x"] + 2, dot["y"] + 2)
    assert "chosen" in page.locator('[data-curve="loss"] .tip').inner_text()
    page.get_by_text("seconds", exact=True).last.click()
    page.locator("#log").check()
    assert page.locator('[data-curve="psnr"] text.title').inner_html() == "seconds"


def test_differences_of_two_configs(page):
    place = page.locator("#diff")
    assert "none is ticked" in place.inner_text()
    ticks = page.locator("#cells tbody input")
    ticks.nth(column(page, "net").index("unet")).check()
    assert "one is ticked" in place.inner_text()
    page.locator('tr:has-text("skip") input').first.check()
    rows = [row.split("\t") for row in place.locator("tbody").inner_text().splitlines()]
    assert [row[0] for row in rows] == ["net.kind"] and set(rows[0][1:]) == {"skip", "unet"}
    ticks.nth(3).check()
    page.locator('tr:has-text("skip") input').last.check()
    assert "are ticked" in place.inner_text()


def test_a_failed_cell_shows_its_error_as_text(page):
    assert page.get_by_role("link", name="Failures").is_visible()
    failures = page.locator("#failures")
    assert f"no {NASTY} memory" in failures.inner_text()
    failures.locator("summary").click()
    assert failures.locator("pre").inner_text() == f"Traceback\n{NASTY}"


def test_a_phone(opened):
    page = opened(viewport={"width": 390, "height": 800}, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth && innerWidth === 390")
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#cells .scroll'))")


def test_dark_and_light(opened):
    page = opened(color_scheme="dark")

    def lightness():
        return page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")

    assert lightness() < 60
    button = page.locator("#theme")
    button.click()
    button.click()
    assert button.inner_text() == "colours: light" and lightness() > 200


def test_all_can_be_reached_by_keyboard_and_the_focus_is_seen(page):
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("""() => {
            const element = document.activeElement;
            const shown = element.matches("input[type=radio]") ? element.nextElementSibling : element;
            const name = element.id || element.className || element.localName;
            return [name, getComputedStyle(shown).outlineStyle].join(" ");
        }"""))
    assert {"filter solid", "stage solid", "colour solid", "theme solid"} <= seen
    assert not [one for one in seen if one.endswith(" none") and not one.startswith("body")]


def test_while_it_is_watched_the_page_reloads_and_keeps_its_state(opened):
    page = opened(watch=2)
    heading(page, "psnr").get_by_role("button").click()
    page.get_by_label("Filter").fill("skip")
    page.locator(".stage:has(.side):visible").first.focus()
    page.keyboard.press("+")
    page.evaluate("scrollTo(0, 500)")
    with page.expect_event("load"):
        pass
    assert page.evaluate("""[scrollY, document.activeElement.className, document.querySelector("#zoom").textContent,
        document.querySelector("#filter").value]""") == [500, "stage", "150 %", "skip"]
    assert column(page, "psnr") == ["31.00", "30.00"]
    page.get_by_role("button", name="pause").click()
    page.evaluate("window.before = true")
    page.wait_for_timeout(4500)
    assert page.evaluate("window.before") is True
