"""Published networks on this computer against ONNX Runtime; see benchmarks/real_models.py for where they come from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, need

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from real_models import Network, light, ocr_cls, silero_vad
from real_networks import deployed

NETWORKS = [Network("shufflenet", lambda: light("shufflenet")), silero_vad(fetch=False), ocr_cls(fetch=False)]


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_agrees_with_onnx_runtime(network: Network, tmp_path: Path) -> None:
    need("cc")
    path = tmp_path / f"{network.name}.onnx"
    try:
        path.write_bytes(network.make())
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert deployed(path, network, "host").error_of_range < 1e-4
