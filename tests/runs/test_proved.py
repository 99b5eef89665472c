"""A file proves its content, and stays an ordinary one for those who read it plainly."""

import numpy as np
import pytest
import torch

from dip_lab.runs.proved import TRAILER, Damaged, Unproved, prove, write_proved


def test_it_is_read_plainly(tmp_path):
    write_proved(tmp_path / "a.pt", lambda file: torch.save({"a": torch.arange(3)}, file))
    write_proved(tmp_path / "a.npy", lambda file: np.save(file, np.arange(6).reshape(2, 3)))
    for path in tmp_path.iterdir():
        prove(path)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["a"].tolist() == [0, 1, 2]
    assert np.load(tmp_path / "a.npy", mmap_mode="c").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.pt"]


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "file"
    write_proved(path, lambda file: file.write(b"content"))
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            prove(path)


def test_a_file_without_a_digest_is_told_from_a_damaged_one(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"content", bytes(TRAILER), b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(Unproved):
            prove(path)
