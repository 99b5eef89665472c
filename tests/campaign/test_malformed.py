"""Files that can be loaded and are not what they should be: checkpoints, weights, records and curves."""

import contextlib
import copy
import io
import json
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from outcomes import difference, lines_about
from test_resume import KillAt, Killed

from dip_lab import sweep
from dip_lab.runs import folder as folders
from dip_lab.runs.proved import write_proved

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("without_plots")]
TINY = ("iterations=30", "log_every_image=500")
WRONG = (None, [], "x", 7, -1.5, True, {}, torch.zeros(2))


def leaves(tree, kind, place=()):
    """The places of a tree where there is a value of this kind."""
    if isinstance(tree, kind):
        yield place
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from leaves(value, kind, (*place, key))


def changed(tree, place, change):
    """A copy of the tree in which the value at `place` is changed; None removes it."""
    tree = copy.deepcopy(tree)
    node = tree
    for key in place[:-1]:
        node = node[key]
    if change is None:
        del node[place[-1]]
    else:
        node[place[-1]] = change(node[place[-1]])
    return tree


def of_other_shapes(tensor):
    return (torch.zeros(*tensor.shape, 2, dtype=tensor.dtype), tensor.to(torch.complex64), tensor[None].to_sparse(),
            torch.empty(tensor.shape, device="meta"), tensor.tolist())


def malformed_states(state):
    """(what is wrong, a state)."""
    dice = random.Random(30)
    for key in state:
        yield f"without {key}", changed(state, (key,), None)
        for wrong in WRONG:
            if type(wrong) is not type(state[key]) and not (key == "seconds" and isinstance(wrong, int)):
                yield f"{key}: {wrong}", changed(state, (key,), lambda _, wrong=wrong: wrong)
    for key in state["parts"]:
        yield f"without parts.{key}", changed(state, ("parts", key), None)
        yield f"parts.{key}: a list", changed(state, ("parts", key), lambda _: [1])
    for iteration in (-5, 0, 19, 21, 31, 10**9, 20.5):
        yield f"iteration {iteration}", state | {"iteration": iteration}
    yield "threads -1", state | {"threads": -1}
    yield "seconds -1", state | {"seconds": -1.0}
    for key in state["guard"]:
        yield f"without guard.{key}", changed(state, ("guard", key), None)
    yield "a snapshot that is not there", changed(state, ("guard", "snapshot_iteration"), lambda _: 10)
    yield "events of numbers", changed(state, ("guard", "events"), lambda _: [3])
    for place in dice.sample(list(leaves(state["parts"], torch.Tensor)), 40):
        tensor = state["parts"]
        for key in place:
            tensor = tensor[key]
        number = dice.randrange(5)
        yield (f"another tensor ({number}) at {'.'.join(map(str, place))}",
               changed(state, ("parts", *place), lambda old, number=number: of_other_shapes(old)[number]))
        if place[0] != "optimizer":
            yield f"no tensor at {'.'.join(map(str, place))}", changed(state, ("parts", *place), None)


@pytest.mark.parametrize("rule", ["stopping=fixed average=none", "stopping=wmv shadow=[emv,self_validation]"])
def test_a_malformed_checkpoint(rule, tally, fit_tiny, tmp_path, caplog):
    overrides = (*TINY, *rule.split())
    fit_tiny(*overrides, folder=tmp_path / "alone")
    killed, t = tmp_path / "killed", tally(f"a malformed checkpoint, {rule}")
    with pytest.raises(Killed):
        fit_tiny(*overrides, folder=killed, callbacks=[KillAt(24)])
    newest = killed / "checkpoints" / "0000020.pt"
    content = newest.read_bytes()
    state = torch.load(newest, weights_only=True)
    unproved = io.BytesIO()
    torch.save(state, unproved)
    raw = {"empty": b"", "text": b"iteration: 20", "pickle": pickle.dumps({"iteration": 20}), "half": content[:2000],
           "without its end": content[:-1], "twice": content * 2, "without a digest": unproved.getvalue()}
    cases = [*raw.items(), *malformed_states(state), *((str(type(each)), each) for each in WRONG)]
    for case, bad in cases:
        folder = tmp_path / "continued"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(killed, folder)
        path = folder / "checkpoints" / newest.name
        if isinstance(bad, bytes):
            path.write_bytes(bad)
        else:
            write_proved(path, lambda file, bad=bad: torch.save(bad, file))
        caplog.clear()
        try:
            fit_tiny(*overrides, folder=folder)
        except Exception as error:
            t.add(case, f"{type(error).__name__}: {str(error)[:100]}")
            continue
        said = lines_about(caplog, newest.name)
        is_said = len(said) == 1 and said[0].endswith("the one before it is used") and "\n" not in said[0]
        t.add(case, difference(folder, tmp_path / "alone") if is_said else f"said {said}")
    t.conclude()


def malformed_weights(weights):
    """(what is wrong, an object)."""
    dice = random.Random(31)
    yield from ((f"{type(each).__name__}", each) for each in WRONG if each != {} or isinstance(each, dict))
    for key in dice.sample(list(weights), 12):
        yield f"without {key}", changed(weights, (key,), None)
        if weights[key].is_floating_point():
            for value in (float("nan"), float("inf")):
                yield f"{key}: {value}", weights | {key: torch.full_like(weights[key], value)}
        for number in range(5):
            yield f"another tensor ({number}) at {key}", weights | {key: of_other_shapes(weights[key])[number]}
    yield "a number as a key", weights | {3: torch.zeros(2)}
    yield "nested", {"net": weights}


def test_malformed_weights(tally, fit_tiny, tmp_path):
    fit_tiny("iterations=5", "stopping=fixed", folder=tmp_path / "first")
    path, t = tmp_path / "first" / "checkpoints" / "weights.pt", tally("malformed weights")
    weights = dict(torch.load(path, weights_only=True))
    torch.save(weights, path)  # a user's own
    fit_tiny("iterations=1", "stopping=fixed", f"generator.init_from={tmp_path / 'first'}")
    for number, (case, bad) in enumerate(malformed_weights(weights)):
        if number % 2:
            torch.save(bad, path)
        else:
            write_proved(path, lambda file, bad=bad: torch.save(bad, file))
        try:
            fit_tiny("iterations=1", "stopping=fixed", f"generator.init_from={tmp_path / 'first'}")
        except ValueError as error:
            t.add(case, None if "weights.pt" in str(error) or "another network" in str(error) and "\n" not in str(error)
                  else str(error))
        except Exception as error:
            t.add(case, f"{type(error).__name__}: {str(error)[:100]}")
        else:
            t.add(case, "fitted on")
    t.conclude()


def malformed_records(record):
    """(what is wrong, the text of a result.json)."""
    raw = {"list": "[]", "number": "5", "text": '"done"', "null": "null", "empty": "", "none of ours": "{}",
           "torn": json.dumps(record)[:300], "binary": "\x00\x01", "only a status": '{"status": "done"}',
           "deep lists": "[" * 100_000, "a deep config": json.dumps(record)[:-1] + ', "x": ' + '{"a":' * 400 + "1"
           + "}" * 400 + "}", "another status": json.dumps(record | {"status": "abc"}),
           "a long number": json.dumps(record)[:-1] + ', "psnr": ' + "9" * 400 + "}",
           "a longer number": json.dumps(record)[:-1] + ', "psnr": ' + "9" * 5000 + "}",
           "NaN": json.dumps(record | {"psnr": float("nan")}), "infinity": json.dumps(record | {"psnr": float("inf")}),
           "failed without a word": '{"status": "failed"}', "a surrogate": json.dumps(record | {"picture": "\ud800"}),
           "a path": json.dumps(record | {"answer": "../../x"}), "a null byte": json.dumps(record | {"answer": "a\0b"})}
    yield from raw.items()
    dice = random.Random(32)
    for key in dice.sample(list(record), 15):
        yield f"without {key}", json.dumps({other: value for other, value in record.items() if other != key})
    wrong = {bool: (5, "no"), str: (5, [], None, {}), int: ("abc", [], {}, True), float: ("abc", [], {}, True),
             dict: (5, [], "x"), list: (5, "x", [5], {}), type(None): ("x", [], 5, [[]])}
    for key, value in record.items():
        bad = dice.choice(wrong[type(value)])
        yield f"{key}: {bad!r}", json.dumps(record | {key: bad})
    for key in ("net", "task", "optimizer"):
        yield f"config.{key}: 5", json.dumps(record | {"config": record["config"] | {key: 5}})
    yield "huge values among the overrides", json.dumps(record | {"overrides": {"a": 10**400, "b": [1], "c": {}}})


@contextlib.contextmanager
def no_traceback():
    """A mistake may be raised, since the scripts print it; nothing else may."""
    with contextlib.suppress(ValueError, OSError):
        yield


def readers(script_of, group):
    """(name, call) of everything that reads a sweep's records."""
    yield "report.py", lambda: script_of("report").main([str(group)])
    yield "compare.py", lambda: script_of("compare").main([str(group)])
    yield "compare.py --pivot", lambda: script_of("compare").main([str(group), "--pivot", "net", "seed"])
    yield "levers.py", lambda: script_of("levers").main([str(group), "--reference", "(none)"])


def sweep_of(group):
    """Conclude the sweep of a group again: what failed there."""
    sweep.ended.clear()
    sweep.failures.clear()
    sweep.list_cells(group)
    sweep.conclude()
    return [f"{type(error).__name__}: {error}" for error in sweep.failures]


@pytest.fixture
def group(fit_tiny, tmp_path):
    """A sweep of two cells, one of which is going to be spoilt: (its folder, that cell's)."""
    for seed in (0, 1):
        fit_tiny("iterations=5", "stopping=fixed", f"seed={seed}", folder=tmp_path / "group" / f"cell{seed}")
    return tmp_path / "group", tmp_path / "group" / "cell0"


def fault_of_readers(script_of, group) -> str | None:
    """What raises anything but a mistake at the end of the sweep, or in a script."""
    folders._name.cache_clear()
    if failed := sweep_of(group):
        return f"the sweep's end: {failed}"
    for name, call in readers(script_of, group):
        try:
            with no_traceback():
                call()
        except Exception as error:
            return f"{name}: {type(error).__name__}: {error}"
    return None


def test_a_malformed_record(tally, group, script_of, capsys):
    folder, cell = group
    record = json.loads((cell / "result.json").read_text())
    t = tally("a malformed record, through the sweep's end, report.py, compare.py and levers.py")
    for case, text in malformed_records(record):
        (cell / "result.json").write_text(text, encoding="utf-8", errors="surrogatepass")
        fault = fault_of_readers(script_of, folder)
        if fault is None and folders.read_result(cell) is None:
            fault = None if "unreadable" in (folder / "report.html").read_text() else "not called unreadable"
        t.add(case, fault)
    capsys.readouterr()
    t.conclude()


def test_malformed_curves(tally, group, script_of, capsys):
    folder, cell = group
    dice, t = random.Random(33), tally("a damaged history.csv or stopping.csv, through the same")
    for name in ("history.csv", "stopping.csv"):
        content = (cell / name).read_bytes()
        lines = content.splitlines(keepends=True)
        cases = {"empty": b"", "only a heading": lines[0], "without a heading": b"".join(lines[1:]),
                 "other columns": b"a,b\n1,2\n", "text": b"".join([lines[0], b"x,y,z,a,b,c,d\n"]),
                 "binary": b"\xff\x00" * 50,
                 "NaN": lines[0] + b"nan,nan,nan,nan,nan,nan,nan\n",
                 "infinite": lines[0] + b"inf,1,1,1,1,1,1\n",
                 "a long field": lines[0] + b"1" * 200_000 + b"\n", "an open quote": lines[0] + b'"1,2\n' * 5}
        for number in range(30):
            damaged = bytearray(content)
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            cases[f"a byte {number}"] = bytes(damaged)
            cases[f"torn {number}"] = content[:dice.randrange(len(content))]
        for case, bad in cases.items():
            (cell / name).write_bytes(bad)
            t.add(f"{name}: {case}", fault_of_readers(script_of, folder))
        (cell / name).write_bytes(content)
    capsys.readouterr()
    t.conclude()


def test_a_run_over_a_malformed_record(tally, command):
    tiny = ("data.size=16", "net=skip_narrow", "net.width=4", "net.depth=2", "stopping=fixed", "average=none",
            "logger=none", "device=cpu", "iterations=2", "hydra.run.dir=run")
    assert command(*tiny)[0] == 0
    path = Path("run", "result.json")
    record, t = json.loads(path.read_text()), tally("a malformed record, run over")
    cases = list(malformed_records(record))
    for number, (case, text) in enumerate(cases):
        folders._name.cache_clear()
        shutil.rmtree(path.parent / "checkpoints", ignore_errors=True)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        more = ("rerun=true",) if number % 3 == 0 else ()
        try:
            code, printed = command(*tiny, *more)
        except Exception as error:
            t.add(case, f"{type(error).__name__}: {error}")
            continue
        ended = code == 0 or code == 2 and len(printed.strip().splitlines()) <= 2
        t.add(case, None if ended and "Traceback" not in printed else f"{code}: {printed[-200:]}")
    t.conclude()
