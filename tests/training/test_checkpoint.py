import pickle
import resource

import pytest
import torch

from imagen_fast.errors import TrainingError
from imagen_fast.training.checkpoint import CURRENT, PREVIOUS, load_checkpoint, save_checkpoint


def test_the_newest_comes_back_and_the_one_before_is_kept(tmp_path):
    assert load_checkpoint(tmp_path) is None
    for step in range(3):
        save_checkpoint({"step": step, "x": {"w": torch.full((2, 2), float(step))}}, tmp_path)
    state = load_checkpoint(tmp_path)
    assert state["step"] == 2
    assert torch.equal(state["x"]["w"], torch.full((2, 2), 2.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREVIOUS, CURRENT]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path):
    save_checkpoint({"step": 1}, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(TrainingError, match=f"{CURRENT}: cannot be written: File too large"):
            save_checkpoint({"step": 2}, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(tmp_path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == [CURRENT]


@pytest.mark.parametrize("damage", [0, 10, 500, None])
def test_a_torn_or_missing_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    for step in range(2):
        save_checkpoint({"step": step}, tmp_path)
    current = tmp_path / CURRENT
    if damage is None:
        current.unlink()  # as a kill between the two renames leaves it
    else:
        current.write_bytes(current.read_bytes()[:damage])
    said = []
    assert load_checkpoint(tmp_path, said.append)["step"] == 0
    assert [str(current) in line for line in said] == ([] if damage is None else [True])


def test_two_torn_checkpoints_are_an_error_that_names_them(tmp_path):
    for name in (CURRENT, PREVIOUS):
        (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=rf"{CURRENT}.*{PREVIOUS}.*remove them"):
        load_checkpoint(tmp_path)


class Attack:
    def __reduce__(self):
        return open, ("attacked", "w")


def test_loading_executes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": Attack()}, tmp_path / CURRENT)
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        load_checkpoint(tmp_path)
    (tmp_path / CURRENT).write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "attacked").exists()
