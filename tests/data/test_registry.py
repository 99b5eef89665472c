"""The data sets' files: found, downloaded from a server of this machine, checked, and counted in a cell's hash."""

import gc
import hashlib
import io
import re
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from shared import DATA, shared

from dip_lab.build import build_problem
from dip_lab.compose import cell_at, compose
from dip_lab.data import registry
from dip_lab.data.collection import Collection
from dip_lab.data.registry import PublicFile, digest, located, pictures_of

ROOT = Path(__file__).resolve().parents[2]
SETS = {path.stem: path for path in sorted((ROOT / "configs" / "data").glob("*.yaml"))
        if "data.collection.Collection" in path.read_text()}
HOUSE, LENA, F16 = "denoise9/House.png", "denoise9/Lena.png", "denoise9/F16.png"
NOISY = "paper/denoise25/hill_noisy.png"
TINY = ["data.size=16", "net=skip_narrow", "net.width=4", "net.depth=2", "iterations=2", "log_every=1", "logger=none",
        "device=cpu"]


def picture_bytes(seed, width=24, height=24):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


def encoded(image, format="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Web(ThreadingHTTPServer):
    """A web server of `files`. `cuts` says for a name how many answers break off in the middle. It keeps all requests.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.cuts, self.asked = files, {}, []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path[1:]
        self.server.asked.append(name)
        content = self.server.files.get(name, b"")
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cuts.get(name, 0) > 0:
            self.server.cuts[name] -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that pooch would have waited between its tries."""
    waited = []
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def alone(tmp_path, monkeypatch, pauses):
    """An empty working folder and an empty cache, no folder of data sets, no proxy; returns the cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("DIP_LAB_DATA", raising=False)
    return tmp_path / "cache" / "dip_lab"


@pytest.fixture
def register(monkeypatch):
    """Replaces the registry by the given files, name -> content, all of them at `url`."""

    def replace(files, url):
        entries = {name: PublicFile(name, sha256(content), f"{url}/{name}") for name, content in files.items()}
        monkeypatch.setattr(registry, "registry", lambda: entries)

    return replace


@pytest.fixture
def web(alone, register):
    """The server of a registry of four files."""
    files = {name: picture_bytes(seed) for seed, name in enumerate((HOUSE, LENA, F16, NOISY))}
    with Web(dict(files)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        register(files, server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port():
    with socket.socket() as bound:  # and not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refusal(path=HOUSE, root=None):
    with pytest.raises(ValueError) as refused:
        located(path, root)
    message = str(refused.value)
    assert "\n" not in message
    return message


def hash_of(*overrides):
    cfg = compose(["logger=none", *overrides])
    return cell_at(cfg, cfg.hydra, None).hash


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Downloads


def test_an_absent_file_is_downloaded_once(web, alone):
    assert located(HOUSE) == alone / HOUSE
    assert (alone / HOUSE).read_bytes() == web.files[HOUSE]
    assert web.asked == [HOUSE]
    web.shutdown()
    assert located(HOUSE) == alone / HOUSE
    assert web.asked == [HOUSE] and files_in(alone) == [HOUSE]


def test_a_file_with_other_bytes_is_refused(web, alone):
    web.files[HOUSE] = picture_bytes(99)
    message = refusal()
    assert "not the one that was registered" in message
    assert all(part in message for part in (HOUSE, f"{web.url}/{HOUSE}", str(alone / HOUSE), "DIP_LAB_DATA"))
    assert files_in(alone) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pooch does not close the answer
def test_the_refusal_names_the_person_s_own_folder(web, tmp_path, monkeypatch):
    web.files.clear()
    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path / "mine"))
    assert f"save it as {tmp_path / 'mine' / HOUSE}" in refusal()
    assert f"save it as {tmp_path / 'root' / HOUSE}" in refusal(root=str(tmp_path / "root"))
    gc.collect()  # here, not in the next test


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pooch does not close the answer
def test_a_file_that_the_server_does_not_have(web, alone):
    del web.files[HOUSE]
    assert "HTTPError" in refusal()
    assert files_in(alone) == []
    gc.collect()  # here, not in the next test


def test_a_cut_connection_is_tried_again(web, alone, pauses):
    web.cuts[HOUSE] = 1
    assert located(HOUSE).read_bytes() == web.files[HOUSE]
    assert web.asked == [HOUSE, HOUSE] and pauses == [1]
    assert files_in(alone) == [HOUSE]


def test_a_connection_that_is_always_cut(web, alone):
    web.cuts[HOUSE] = 1000
    message = refusal()
    assert f"fetch {web.url}/{HOUSE} and save it as {alone / HOUSE}" in message
    assert len(web.asked) == registry.TRIES and files_in(alone) == []
    web.cuts.clear()
    assert located(HOUSE).read_bytes() == web.files[HOUSE]


def test_a_set_cut_in_the_middle_is_resumed(web, alone):
    web.cuts[LENA] = registry.TRIES
    nine = [HOUSE, LENA, F16]
    with pytest.raises(ValueError, match=LENA):
        for file in nine:
            located(file)
    assert files_in(alone) == [HOUSE]
    web.asked.clear()
    for file in nine:
        located(file)
    assert web.asked == [LENA, F16] and files_in(alone) == sorted(nine)


def test_a_file_damaged_in_the_cache_is_fetched_again(web, alone):
    save(alone / HOUSE, web.files[HOUSE][:-5])
    assert located(HOUSE).read_bytes() == web.files[HOUSE]
    assert web.asked == [HOUSE]


def test_several_may_download_at_once(web, alone):
    start = threading.Barrier(6)

    def fetch(file):
        start.wait()
        return located(file).read_bytes()

    for _ in range(20):  # which of them makes the folder first is left to chance
        shutil.rmtree(alone, ignore_errors=True)
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(fetch, [HOUSE, LENA] * 3)) == [web.files[HOUSE], web.files[LENA]] * 3
        assert files_in(alone) == [HOUSE, LENA]


def test_a_cache_that_cannot_be_written(web, alone):
    alone.parent.mkdir()
    alone.write_text("a file in the way")
    message = refusal()
    assert "File exists" in message or "Not a directory" in message
    assert web.asked == []


def test_nothing_is_printed_but_a_bar_in_a_terminal(web, capfd, caplog, monkeypatch):
    located(HOUSE)
    assert capfd.readouterr() == ("", "") and not caplog.records
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    web.cuts[LENA] = 1
    located(LENA)
    shown = terminal.getvalue()
    assert LENA in shown and "\n" not in shown and shown.endswith("\r")


def test_offline_says_what_to_fetch_and_where_to_put_it(alone, register, closed_port):
    url = f"http://127.0.0.1:{closed_port}"
    register({HOUSE: b"a picture"}, url)
    message = refusal()
    assert message.startswith(f"{HOUSE} cannot be downloaded (ConnectionError): fetch {url}/{HOUSE} and save it as ")
    assert str(alone / HOUSE) in message
    assert files_in(alone) == []


def test_offline_at_the_command_line(alone, register, closed_port, command):
    url = f"http://127.0.0.1:{closed_port}"
    register({HOUSE: b"a picture"}, url)
    code, printed = command("data=denoise9", "data.name=House", *TINY)
    assert code == 2 and "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if "cannot be downloaded" in line]
    assert f"{url}/{HOUSE}" in line and str(alone / HOUSE) in line


def test_a_cell_downloads_its_picture_and_is_done(web, command):
    cell = ("data=denoise9", "data.name=House", *TINY)
    code, printed = command(*cell)
    assert code == 0 and web.asked == [HOUSE], printed
    code, printed = command(*cell)
    assert code == 0 and "done before" in printed
    assert web.asked == [HOUSE]


# On this machine


def test_the_root_comes_before_the_variable_and_both_before_the_network(web, tmp_path, monkeypatch):
    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path / "variable"))
    root = tmp_path / "root"
    variable = save(tmp_path / "variable" / HOUSE, picture_bytes(7))
    assert located(HOUSE, str(root)) == variable
    own = save(root / HOUSE, picture_bytes(8))
    save(Path(HOUSE), picture_bytes(9))  # in the folder of the command: last
    assert located(HOUSE, str(root)) == own
    assert located(HOUSE) == variable
    assert not web.asked


def test_a_home_folder(web, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    own = save(tmp_path / "pictures" / HOUSE, picture_bytes(7))
    assert located(HOUSE, "~/pictures") == own
    assert located(f"~/pictures/{HOUSE}") == own
    monkeypatch.setenv("DIP_LAB_DATA", "~/pictures")
    assert located(HOUSE) == own
    assert pictures_of(["denoise9"]).keys() == {"House", "Lena", "F16"}


def test_any_other_path_is_as_it_was_typed(web, tmp_path, monkeypatch):
    monkeypatch.setenv("DIP_LAB_DATA", str(tmp_path / "data"))
    beside = save(tmp_path / "data" / "mine" / "noisy.png", b"1")
    assert located("mine/noisy.png") == beside
    save(Path("mine/noisy.png"), b"2")
    assert located("mine/noisy.png") == Path("mine/noisy.png")
    assert located(str(beside)) == beside
    assert located("nowhere.png") == Path("nowhere.png")
    assert located("mine") == Path("mine") and digest("mine") is None
    assert not web.asked


@pytest.mark.parametrize("copied, counts", [(".png", True), (".tif", True), (".jpg", False)])
def test_a_lossless_copy_stands_in_for_a_published_bmp(alone, register, tmp_path, copied, counts):
    published = encoded(Image.new("L", (16, 16), 9), "BMP")
    register({"sr/Set14/HR/zebra.bmp": published}, "http://127.0.0.1:9")
    own = tmp_path / "data" / "sr" / "Set14" / "HR" / f"zebra{copied}"
    own.parent.mkdir(parents=True)
    Image.new("L", (16, 16), 9).save(own)
    assert (registry.local("sr/Set14/HR/zebra.bmp", str(tmp_path / "data")) == own) == counts
    assert list(pictures_of(["sr/Set14/HR"], str(tmp_path / "data"))) == ["zebra"]


def test_pictures_beside_the_registered_ones_belong_to_the_set(web, tmp_path):
    folder = tmp_path / "data" / "denoise9"
    for name in ("House.png", "own.JPG", "own_mask.png", "._own.png", "notes.txt"):
        save(folder / name, b"content")
    (folder / "x.png").mkdir()
    found = pictures_of(["denoise9"], str(tmp_path / "data"))
    assert list(found) == ["House", "Lena", "F16", "own"]
    assert located(found["own"], str(tmp_path / "data")) == folder / "own.JPG"
    assert located(found["House"], str(tmp_path / "data")) == folder / "House.png"


def test_of_two_pictures_with_one_name_the_first_folder_s_counts(alone, register):
    register({"b/vase.png": b"b", "a/vase.png": b"a", "a/vase_mask.png": b"m"}, "http://127.0.0.1:9")
    assert pictures_of(["a", "b"]) == {"vase": "a/vase.png"}
    assert pictures_of(["b", "a"]) == {"vase": "b/vase.png"}


# The hash of a cell


@pytest.fixture
def cell_hash(one_thread):
    return hash_of


def test_the_hash_is_that_of_the_picture_wherever_it_lies(web, cell_hash, tmp_path):
    house = ("data=denoise9", "data.name=House")
    before = cell_hash(*house)
    assert not web.asked
    located(HOUSE)
    save(tmp_path / "data" / HOUSE, web.files[HOUSE])
    save(tmp_path / "data" / "Set12" / "01.png", web.files[HOUSE])
    root = f"data.root={tmp_path / 'data'}"
    assert {cell_hash(*house), cell_hash(*house, root), cell_hash("data=set12", "data.name=01", root)} == {before}
    others = {cell_hash("data=denoise9", "data.name=Lena"), cell_hash(*house, "data.multiple=8"),
              cell_hash(*house, "data.size=16")}
    assert len(others | {before}) == 4
    save(tmp_path / "data" / HOUSE, web.files[LENA])
    assert cell_hash(*house, root) == cell_hash("data=denoise9", "data.name=Lena")


def test_a_ready_observation_counts_by_its_content(web, cell_hash, tmp_path):
    house = ("data=denoise9", "data.name=House")
    copy = save(tmp_path / "copy.png", web.files[NOISY])
    before = cell_hash(*house, f"task.observation={NOISY}")
    located(NOISY)
    assert cell_hash(*house, f"task.observation={NOISY}") == before
    assert cell_hash(*house, f"task.observation={copy}") == before
    other = save(tmp_path / "other.png", web.files[LENA])
    assert before not in (cell_hash(*house), cell_hash(*house, f"task.observation={other}"))


def test_a_file_counts_by_its_content_whatever_key_names_it(cell_hash, tmp_path):
    weights = save(tmp_path / "w.txt", b"1 2 3")
    custom = ("task=custom", f"task.operator.module={{_target_:mylab.Measure,weights:'{weights}',more:['{weights}']}}")
    before = cell_hash(*custom)
    save(tmp_path / "w.txt", b"1 2 4")
    after = cell_hash(*custom)
    moved = save(tmp_path / "elsewhere" / "v.txt", b"1 2 4")
    assert before != after == cell_hash(*(each.replace(str(weights), str(moved)) for each in custom))


def test_a_registered_observation_is_downloaded(web):
    picture = Collection(["denoise9"], "House", None, 1, None).load()
    problem = build_problem(compose([f"task.observation={NOISY}"]).task, picture, 0)
    assert web.asked == [HOUSE, NOISY]
    assert problem.observation.shape == problem.target.shape == (1, 3, 24, 24)


# registry.csv and the YAML files of the sets


def test_every_row_of_the_registry_is_well_formed():
    rows = (ROOT / "dip_lab" / "data" / "registry.csv").read_text().splitlines()[1:]
    assert len(registry.registry()) == len(rows) > 200  # no file twice
    assert len({file.lower() for file in registry.registry()}) == len(rows)  # on a disk that ignores case
    for entry in registry.registry().values():
        assert re.fullmatch(r"[\w/]+/[\w-]+\.(png|jpg|JPG|bmp|pth)", entry.file)
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/[\w./-]+", entry.url)
        assert Path(entry.url).suffix == Path(entry.file).suffix


@shared("denoise9", "Set12", "real")
def test_the_registered_digests_are_those_of_the_shared_files():
    wrong = [file for file, entry in registry.registry().items()
             if not file.endswith(".bmp") and sha256((DATA / file).read_bytes()) != entry.sha256]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in SETS if name != "large_hole"])  # its masks were turned round
def test_every_set_lists_its_pictures_without_any_data_folder(name, alone):
    config = OmegaConf.load(SETS[name])
    assert config.pop("_target_") == f"{Collection.__module__}.{Collection.__name__}"
    assert set(config) == set(Collection.__dataclass_fields__)
    found = pictures_of(config.folders)
    assert {Path(file).parent.as_posix() for file in found.values()} == set(config.folders)
    tried = re.search(r"data\.name=(\w+(?:, (?!or )\w+)*)", SETS[name].read_text())[1].split(", ")
    assert set(tried) <= set(found)


def test_the_command_line_knows_the_sets_without_torch():
    heavy = "{'torch', 'numpy', 'PIL', 'pooch', 'requests', 'tqdm'}"
    code = (f"import sys, dip_lab.runs.identity; from dip_lab.data.registry import pictures_of; pictures_of(['Set12']);"
            f"print(sorted({heavy} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fetching_ahead(web, alone, capsys, script_of):
    script = script_of("fetch_data")
    script.main([])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["denoise9", "0", "of", "3", "here"], ["paper/denoise25", "0", "of", "1", "here"]]
    script.main(["denoise9"])
    assert capsys.readouterr().out.split() == ["denoise9", "3", "of", "3", "here"] and len(web.asked) == 3
    script.main(["denoise9"])
    assert len(web.asked) == 3
    with pytest.raises(ValueError, match="denoise: no such folder; there are denoise9"):
        script.main(["denoise"])


def test_the_frames_of_a_clip_count_by_their_content(tmp_path):
    def hash_in(folder):
        return hash_of("data=video", f"data.path={folder}")

    for name in ("a", "b"):
        for number in (1, 2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (16, 16), 40 * number).save(tmp_path / name / f"{number}.png")
    before = hash_in(tmp_path / "a")
    assert before == hash_in(tmp_path / "b")
    Image.new("L", (16, 16), 7).save(tmp_path / "b" / "2.png")
    assert hash_in(tmp_path / "b") != before == hash_in(tmp_path / "a")


def test_the_sources_of_a_fusion_count_by_their_content(tmp_path):
    for name, level in (("a", 10), ("b", 20), ("c", 20)):
        Image.new("L", (16, 16), level).save(tmp_path / f"{name}.png")

    def fused(*names):
        paths = ",".join(str(tmp_path / f"{name}.png") for name in names)
        return hash_of("task=fusion", "data=sources", f"data.paths=[{paths}]")

    assert fused("a", "b") == fused("a", "c") != fused("b", "a")
