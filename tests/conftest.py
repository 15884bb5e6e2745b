"""What every test may ask for."""

import pytest


@pytest.fixture(params=["lstm", "transformer"])
def kind(request):
    return request.param
