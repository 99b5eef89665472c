"""The report of a sweep as text; what it does in a browser is tested in test_report_browser.py."""

import csv
import fcntl
import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from dip_lab.runs.claims import LOCK
from dip_lab.runs.files import write_json
from dip_lab.tables import album, report
from dip_lab.tables.album import Album
from dip_lab.tables.report import thinned, watch_report, write_report

NASTY = "</script><script>alert('x')</script>\"&"
RESULT = {"task": "denoise", "net": "skip", "picture": "house", "noise": "gaussian", "seed": 0, "optimizer": "adam",
          "status": "done", "answer": "dip_denoised", "psnr": 20.0, "ssim": 0.5, "psnr_peak": 21.0,
          "peak_iteration": 50, "psnr_observed": 15.0, "chosen_iteration": 25, "iterations": 50, "seconds": 61.0,
          "parameters": 1234567, "config_hash": "0a"}
ROWS = ((1, 0.1, 0.1, 10.0, ""), (25, 1.0, 0.01, 18.0, 19.0), (50, 2.0, 0.001, 19.0, 21.0))


def picture(path, shade, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8)).save(path)


def cell(group, name, shade=100, rows=ROWS, pictures=True, **result):
    folder = group / name
    folder.mkdir(parents=True)
    write_json(folder / "result.json", RESULT | result)
    if pictures:
        for stem, value in (("target", 250), ("observed", 200), ("dip_denoised", shade), ("dip_denoised_panel", 1)):
            picture(folder / f"{stem}.png", value)
    with open(folder / "history.csv", "w", newline="") as file:
        csv.writer(file).writerows([("iteration", "seconds", "loss", "psnr", "psnr_average"), *rows])
    return folder


def page_of(group):
    return write_report(group).read_text()


def data_of(page):
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(embedded)


def fields(page):
    """The table as text, a list for each row."""
    (body,) = re.findall(r"<tbody>(.*?)</tbody>", page, re.S)
    rows = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr.*?</tr>", body, re.S)]
    return [[html.unescape(re.sub("<.*?>", "", field)) for field in row][1:] for row in rows]


def headings(page):
    return re.findall(r'<th scope="col"[^>]*data-key="(.*?)"', page)


def test_the_table_has_what_varies_and_the_scores_that_there_are(tmp_path):
    cell(tmp_path, "a")
    cell(tmp_path, "b", net="unet", seed=1, psnr=None, seconds=2.0)
    page = page_of(tmp_path)
    assert headings(page) == ["net", "seed", "status", "psnr", "ssim", "psnr_peak", "psnr_observed",
                              "chosen_iteration", "iterations", "seconds", "parameters"]
    thousands = "1\u2009234\u2009567"
    assert fields(page) == [
        ["skip", "0", "done", "20.00", "0.5000", "21.00", "15.00", "25", "50", "61.0", thousands],
        ["unet", "1", "done", "", "0.5000", "21.00", "15.00", "25", "50", "2.0", thousands]]
    assert "needs the target" in page and "1 min 3 s of fitting" in page


def test_what_was_overridden_is_a_column_and_tells_the_cells_apart(tmp_path):
    for i, lr in enumerate((0.002, 0.01)):
        cell(tmp_path, f"c{i}", config={"optimizer": {"lr": lr, "betas": [0.9, 0.99]}, "size": 16},
             overrides={"optimizer.lr": lr})
    page = page_of(tmp_path)
    assert headings(page)[0] == "optimizer.lr" and [row[0] for row in fields(page)] == ["0.002", "0.01"]
    cells = data_of(page)["cells"]
    assert [c["label"] for c in cells] == ["optimizer.lr 0.002", "optimizer.lr 0.01"]
    assert [c["config"] for c in cells] == [{"optimizer.lr": "0.002"}, {"optimizer.lr": "0.01"}]  # not what is the same


def test_cells_that_nothing_tells_apart_have_their_hash(tmp_path):
    cell(tmp_path, "a", config_hash="aa")
    cell(tmp_path, "b", config_hash="bb")
    assert [c["label"] for c in data_of(page_of(tmp_path))["cells"]] == ["skip, aa", "skip, bb"]


def test_a_picture_is_embedded_once_and_linked_in_full(tmp_path):
    for i in range(3):
        cell(tmp_path, f"cell {i}#", shade=i, seed=i)
    data = data_of(page_of(tmp_path))
    assert len(data["thumbnails"]) == 3 + 2  # three restorations, one target, one observation
    first = data["cells"][0]["pictures"]
    assert [p["caption"] for p in first] == ["observation", "target", "restoration"]
    assert first[2]["href"] == "cell%200%23/dip_denoised.png" and (first[2]["width"], first[2]["height"]) == (24, 16)
    assert all(uri.startswith("data:image/webp;base64,") for uri in data["thumbnails"].values())


def test_what_is_white_is_said_where_an_uncertainty_is_shown(tmp_path):
    folder = cell(tmp_path, "a", uncertainty_mean=3 / 255)
    for stem in ("uncertainty", "error"):
        picture(folder / f"{stem}.png", 30)
    shown = [(each["caption"], each["scale"]) for each in data_of(page_of(tmp_path))["cells"][0]["pictures"]]
    white = "white: 16 of 255"
    assert shown[2:] == [("standard deviation", white), ("error", white), ("restoration", "")]


def test_a_hundred_cells_are_under_ten_megabytes_whatever_their_pictures(tmp_path):
    random = np.random.default_rng(0)
    rows = [(i, i / 7, 1 / i, 20 + i / 1e4, "") for i in range(1, 1001)]
    for i in range(100):
        folder = cell(tmp_path, f"c{i}", seed=i, rows=rows, config={"key": i})
        for stem in ("target", "observed", "dip_denoised", "uncertainty"):  # noise: the hardest to make small
            noise = random.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(noise).resize((256, 256), Image.Resampling.NEAREST).save(folder / f"{stem}.png")
    path = write_report(tmp_path)
    assert path.stat().st_size < 10e6
    assert max(len(c["curve"]["psnr"]) for c in data_of(path.read_text())["cells"]) <= 300


def test_a_thumbnail_keeps_to_its_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for limit in (32768, 4096, 512):
        small = album.shrunk(tmp_path / "noise.png", limit)
        assert len(small.uri) < limit * 4 / 3 + 40 and (small.width, small.height) == (500, 300)


def test_failed_and_unfinished_cells(tmp_path):
    cell(tmp_path, "a")
    failed = cell(tmp_path, "b", status="failed", error=f"out of memory {NASTY}", psnr=None, pictures=False, seed=1)
    (failed / "error.txt").write_text(f"Traceback of {NASTY}")
    cell(tmp_path, "c", status="unfinished", pictures=False, seed=2, iterations=None, seconds=None)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / LOCK).write_text("1")  # killed before it wrote anything
    page = page_of(tmp_path)
    for count in ("1 done", "1 failed", "2 unfinished"):
        assert count in page
    (failures,) = re.findall(r'<section id="failures".*?</section>', page, re.S)
    assert failures.count("<article") == 1 and "Traceback of &lt;/script&gt;" in failures
    unfinished = next(row for row in fields(page) if row[headings(page).index("seed")] == "2")
    assert unfinished[headings(page).index("iterations")] == "50"  # so far


def test_a_running_cell_shows_its_last_output(tmp_path):
    folder = cell(tmp_path, "a", status="unfinished", pictures=False)
    for iteration in (900, 1000):
        picture(folder / "snapshots" / f"{iteration}.png", iteration % 256)
    with open(folder / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = page_of(tmp_path)
    assert "1 running" in page
    (shown,) = data_of(page)["cells"][0]["pictures"]
    assert shown["caption"] == "output so far" and shown["href"] == "a/snapshots/1000.png"


def test_an_old_result(tmp_path):
    """Without answer, config, overrides and noise."""
    folder = cell(tmp_path, "a")
    write_json(folder / "result.json", {key: RESULT[key] for key in ("task", "net", "seed", "status", "psnr")})
    picture(folder / "dip_denoised_curves.png", 3)
    (only,) = data_of(page_of(tmp_path))["cells"]
    assert only["config"] is None and only["pictures"][-1]["href"] == "a/dip_denoised.png"
    assert only["curve"].keys() == {"iteration", "seconds", "loss", "psnr"}


@pytest.mark.parametrize("name", [NASTY, "a\u2028b", "{{ 7 * 7 }}", "<!--", "'--%3E"])
def test_whatever_something_is_called_it_stays_text(tmp_path, name):
    cell(tmp_path / "group", name.replace("/", "_"), picture=name, error=name, status="failed", config={name: name})
    cell(tmp_path / "group", "b", config={})
    page = page_of(tmp_path / "group")
    assert page.count("<script") == 2 and page.count("</script>") == 2 and "<!--" not in page
    assert name in [c["keys"]["picture"] for c in data_of(page)["cells"]]
    assert name in [row[0] for row in fields(page)]


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path):
    cell(tmp_path, "a")
    page = page_of(tmp_path)
    assert not re.findall(r'(?:src|href)="(?!#|data:|a/)', page) and "@import" not in page and "url(http" not in page
    assert "default-src 'none'" in page


def test_broken_files_are_left_out(tmp_path):
    folder = cell(tmp_path, "a")
    (folder / "target.png").write_bytes(b"no picture")
    torn = "iteration,seconds,loss,psnr,psnr_average\n1,0.1,0.1,9,\n2,1e-"  # the last line is being written
    (folder / "history.csv").write_text(torn)
    (only,) = data_of(page_of(tmp_path))["cells"]
    assert [p["caption"] for p in only["pictures"]] == ["observation", "restoration"]
    assert only["curve"]["iteration"] == [1]


def test_a_long_history_is_thinned_and_keeps_its_marks():
    n = 5000
    curves = {"iteration": list(range(1, n + 1)), "seconds": [0.1] * n, "loss": [None] * n, "psnr": [20.0] * n,
              "psnr_average": [None] * (n - 1) + [30.0]}
    thin = thinned(curves, chosen=1234, peak=4321)
    assert len(thin["iteration"]) <= 300 and thin["iteration"][0] == 1 and thin["iteration"][-1] == n
    assert thin["iteration"][thin["chosen"]] == 1234 and thin["iteration"][thin["peak"]] == 4321
    assert thin["psnr"][-1] == 30.0 and thin["psnr"][0] == 20.0  # the average where there is one
    short = {key: values[:3] for key, values in curves.items()}
    assert thinned(short, None, None)["iteration"] == [1, 2, 3]
    assert thinned({}, 1, 1) is None


def test_thumbnails_are_kept_between_refreshes(tmp_path, monkeypatch):
    folder = cell(tmp_path, "a")
    made = []
    shrunk = album.shrunk
    monkeypatch.setattr(album, "shrunk", lambda path, limit: made.append(path.stem) or shrunk(path, limit))
    kept = Album()
    write_report(tmp_path, None, kept)
    write_report(tmp_path, None, kept)
    assert sorted(made) == ["dip_denoised", "observed", "target"]
    picture(folder / "dip_denoised.png", 7, (32, 32))
    write_report(tmp_path, None, kept)
    assert made[3:] == ["dip_denoised"]


def test_watching_writes_again_when_there_is_news(tmp_path):
    cell(tmp_path, "a", status="unfinished")
    lines = watch_report(tmp_path, 0.01, Album())
    assert "1 unfinished" in next(lines)
    assert 'id="pause"' in (tmp_path / "report.html").read_text()
    assert "1 unfinished" in next(lines)  # a cell is open
    write_json(tmp_path / "a" / "result.json", RESULT)
    assert "1 done" in next(lines)
    cell(tmp_path, "b", seed=1)
    assert "2 done" in next(lines)


def test_the_script(tmp_path, script_of, capsys, monkeypatch):
    script = script_of("report")
    with pytest.raises(ValueError, match=f"{tmp_path}: no cells in this folder"):
        script.main([str(tmp_path)])
    cell(tmp_path, "a")
    script.main([str(tmp_path)])
    assert re.fullmatch(rf"{tmp_path}/report\.html \(0\.\d\d MB\)\n", capsys.readouterr().out)

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.time, "sleep", interrupted)
    script.main([str(tmp_path), "--watch", "2"])
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "1 done" in first and last.startswith(f"{tmp_path}/report.html (")
    assert 'id="pause"' not in (tmp_path / "report.html").read_text()  # it has ended, the page stays as it is
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), "--watch", "0"])


def test_a_clip_has_its_film_and_its_errors(tmp_path):
    folder = cell(tmp_path, "a", temporal_error=0.0123, warping_error=0.0045)
    (folder / "dip_denoised_side_by_side.mp4").write_bytes(b"film")
    cell(tmp_path, "b", net="unet")
    page = page_of(tmp_path)
    assert page.count(">film</a>") == 1 and 'href="a/dip_denoised_side_by_side.mp4"' in page
    assert {"temporal_error", "warping_error"} <= set(headings(page)) and "0.0123" in page
    assert not {"qabf", "vif"} & set(headings(page))


def test_fusion_has_its_figures(tmp_path):
    cell(tmp_path, "a", psnr=None, ssim=None, qabf=0.61, vif=0.7)
    cell(tmp_path, "b", psnr=None, ssim=None, qabf=0.52, vif=0.8, net="unet")
    page = page_of(tmp_path)
    assert {"qabf", "vif"} <= set(headings(page)) and "Qabf 0.610" in page
