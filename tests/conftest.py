"""What every test may ask for."""

import os

import pytest

# Two test processes share two cores: PyTorch's own threads would only wait for each other. Read when it is
# first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(params=["lstm", "transformer"])
def kind(request):
    return request.param
