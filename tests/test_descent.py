"""The update step: products in bfloat16 only where a processor has them."""

import pytest
import torch

from core.descent import fast_products


@pytest.mark.parametrize("name, native", [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)])
def test_bfloat16_only_where_the_processor_multiplies_in_it(name, native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    with fast_products():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if native else torch.float32)
