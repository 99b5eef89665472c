import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed(one_thread):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
