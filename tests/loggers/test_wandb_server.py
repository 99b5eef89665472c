"""Online Weights & Biases runs against servers on this machine that refuse, hang, fail, fall silent or answer."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb

from dip_lab.loggers import wandb_run

KEY = "0123456789abcdef" * 2 + "01234567"
TINY = ["iterations=4", "log_every=2", "log_every_image=2", "device=cpu", "net.width=4", "net.depth=2", "data.size=16"]
# Two runs in one process, as in two cells of a sweep; the seconds of each.
TWO_RUNS = """
import logging, sys, time
from dip_lab.loggers import wandb_run
from dip_lab.loggers.wandb_run import close_run, log_table, open_run
wandb_run.PATIENCE = 1
logging.basicConfig(format="%(message)s")
for cell in ("first", "second"):
    began = time.perf_counter()
    run = open_run("dip_lab", "online", "group/" + cell, "group", cell, "group-" + cell, job_type="denoise")
    for iteration in range(3):
        run.log({"loss": 1 / (iteration + 1), "iteration": iteration})
    if cell == "first" and "silence" in sys.argv:
        print("silence", flush=True)
        input()
        log_table(run, "stopping", ["rule"], [["wmv"]])
    close_run(run)
    print(time.perf_counter() - began, flush=True)
"""


class Answer(BaseHTTPRequestHandler):
    """Answers like W&B's server, as far as a run needs it; or `server.status` to everything, or not at all (None)."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        self.server.seen.append((self.path, body))
        if self.server.status is None:
            self.server.closing.wait()
            return
        data = json.dumps(self.content(body) if self.server.status == 200 else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def content(self, body):
        if self.path != "/graphql":
            return {}
        query, values = (json.loads(body)[key] for key in ("query", "variables"))
        if "mutation UpsertBucket" in query:
            bucket = {"id": "cnVu", "name": values["name"], "displayName": "run", "historyLineCount": 0, "project":
                      {"id": "cHJv", "name": values["project"], "entity": {"id": "ZW50", "name": "someone"}}}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "mutation CreateRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.server.url}/upload/{name}"} for name in values["files"]]
            return {"data": {"createRunFiles": {"runID": "cnVu", "uploadHeaders": [], "files": files}}}
        return {"data": {}}

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self, status):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.status, self.seen, self.closing = status, [], threading.Event()

    def handle_error(self, request, client_address):
        pass  # W&B's process ended, and its connections with it


@contextlib.contextmanager
def serving(status):
    server = Server(status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def base_url(trouble):
    """The address of a server with this trouble."""
    if trouble == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        yield url
    else:
        with serving({"hangs": None, "bad key": 401, "fails": 500}.get(trouble, 200)) as server:
            yield server.url


def environment(home, url, key=KEY):
    """A process's variables, without the W&B settings of the person who tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**kept, "HOME": str(home), "WANDB_BASE_URL": url, **({"WANDB_API_KEY": key} if key else {}),
            "WANDB_INIT_TIMEOUT": "1", "WANDB_FINISH_TIMEOUT": "1"}


def files_under(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("trouble", ["refused", "hangs", "bad key", "fails", "no key", "short key"])
def test_a_server_in_trouble_costs_its_patience_once_and_one_line(trouble, tmp_path):
    key = {"no key": None, "short key": "abc"}.get(trouble, KEY)
    with base_url(trouble) as url:
        ended = subprocess.run([sys.executable, "-c", TWO_RUNS], cwd=tmp_path, env=environment(tmp_path, url, key),
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    (said,) = ended.stderr.splitlines()
    assert said.startswith("Weights & Biases: ") and said.endswith("wandb sync group/*/wandb/offline-run-*")
    reason = {"refused": "connection refused", "hangs": "deadline exceeded", "bad key": "error 401",
              "fails": "HTTP 500", "no key": "there is no API key", "short key": "API key"}[trouble]
    assert reason in said
    first, second = map(float, ended.stdout.split())
    assert first < 8 and second < 4, "seconds; here the patience is 1, the rest is W&B's own start on a busy machine"
    for cell in ("first", "second"):
        assert list(tmp_path.glob(f"group/{cell}/wandb/offline-run-*/run-group-{cell}.wandb"))
    assert not [path for path in files_under(tmp_path) if KEY.encode() in path.read_bytes()]


def test_a_terminal_is_never_asked_for_a_login(tmp_path):
    ours, theirs = pty.openpty()
    variables = environment(tmp_path, "http://127.0.0.1:9", None) | {"TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", TWO_RUNS], cwd=tmp_path, env=variables, stdin=theirs,
                               stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        assert process.wait(timeout=40) == 0, "it waits for an answer"
        said = os.read(ours, 10_000).decode()
    finally:
        process.kill()
        os.close(ours)
    assert "there is no API key" in said and "(1)" not in said, said


@pytest.mark.slow
def test_a_fit_under_a_server_that_hangs_has_the_numbers_of_one_without_a_tracker(command, monkeypatch):
    monkeypatch.setattr(wandb_run, "stays_offline", False)
    monkeypatch.setattr(wandb_run, "has_warned", False)
    with serving(None) as server:
        for name, value in environment(Path.cwd(), server.url).items():
            monkeypatch.setenv(name, value)
        wandb.teardown()  # it has read the variables before
        try:
            code, said = command(*TINY, "-m", "logger=wandb", "logger.wandb.mode=online", "seed=0,1")
        finally:
            wandb.teardown()
    assert code == 0 and said.count("Weights & Biases: ") == 1, said
    assert len(list(Path("outputs").glob("denoise/*/wandb/offline-run-*/*.wandb"))) == 2
    assert command(*TINY, "-m", "logger=none", "name=alone", "seed=0,1")[0] == 0
    for path in Path("outputs").glob("denoise/*/result.json"):
        tracked, alone = (json.loads((Path("outputs", name, path.parent.name) / "result.json").read_text())
                          for name in ("denoise", "alone"))
        assert tracked["status"] == "done" and tracked["psnr"] == alone["psnr"]


@pytest.mark.slow
def test_a_server_that_falls_silent_during_a_run_is_left_after_a_moment_and_gets_the_rest_later(tmp_path):
    with serving(200) as server:
        variables = environment(tmp_path, server.url)
        process = subprocess.Popen([sys.executable, "-c", TWO_RUNS, "silence"], cwd=tmp_path, env=variables, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert process.stdout.readline() == "silence\n"
            server.status, went_silent = None, time.perf_counter()
            printed, said = process.communicate("\n", timeout=40)
        finally:
            process.kill()
        assert process.returncode == 0 and time.perf_counter() - went_silent < 12, said
        assert len(printed.split()) == 2
        (said,) = said.splitlines()
        assert "does not answer" in said and said.endswith("wandb sync --no-skip-online group/*/wandb/*run-*")
        assert not list(tmp_path.glob("group/second/wandb/run-*"))
        server.status = 200
        server.seen.clear()
        sync = f"{sys.executable} -m {said[said.index('wandb sync'):]}"  # through a shell, which expands the stars
        subprocess.run(sync, shell=True, cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True,
                       check=True, timeout=60)
    sent = {path.split("/")[4] for path, body in server.seen if "file_stream" in path and '\\"iteration\\":2' in body}
    assert sent == {"group-first", "group-second"}


def test_an_online_run_uploads_what_is_logged_and_nothing_else(tmp_path):
    script = tmp_path / "secret_script.py"
    script.write_text(TWO_RUNS)
    for line in ("git init -q", "git remote add origin https://example.org/secret_remote.git"):
        subprocess.run(line.split(), cwd=tmp_path, check=True)
    with serving(200) as server:
        variables = environment(tmp_path, server.url) | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        ended = subprocess.run([sys.executable, script], cwd=tmp_path, env=variables, capture_output=True, text=True,
                               stdin=subprocess.DEVNULL, timeout=60)
    assert ended.returncode == 0 and ended.stderr == ""
    everything = "\n".join(body for _, body in server.seen)
    assert '\\"loss\\":1' in everything
    assert "secret_" not in everything and KEY not in everything and str(tmp_path) not in everything
    assert {re.split("[/?]", path)[1] for path, _ in server.seen} == {"graphql", "files", "upload"}  # no error reports
    uploaded = {path for path, _ in server.seen if path.startswith("/upload")}
    assert uploaded == {"/upload/config.yaml", "/upload/wandb-summary.json"}
    (first, *_) = (json.loads(body)["variables"] for _, body in server.seen if "mutation UpsertBucket" in body)
    assert [first[key] for key in ("host", "program", "repo", "commit", "debug")] == [None] * 5
    config = json.loads(first["config"])["_wandb"]["value"]
    assert set(config) <= {"t", "m", "cli_version", "python_version"}  # W&B's own: versions, what of W&B was used
