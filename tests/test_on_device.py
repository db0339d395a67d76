"""`ew.Device`: the same methods, and the same answers, whatever the device is."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, need

import edgewright as ew
from edgewright.errors import DataError, DeviceError, TargetError


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    with np.load(DIGITS_TEST) as data:
        return data["x"][:10]


@pytest.fixture(scope="module")
def host_built() -> ew.Built:
    need("gcc")
    return ew.generate(ew.load(DIGITS), "host").build()


@pytest.mark.parametrize(
    ("target", "port"), [("host", None), ("host", "pty"), pytest.param("mps2-an386", None, marks=pytest.mark.slow)]
)
def test_the_same_face_for_all(target: str, port: str | None, x: np.ndarray, host_built: ew.Built) -> None:
    need(*(["arm-none-eabi-gcc", "qemu-system-arm"] if target != "host" else []))
    with ew.Device(target, port) as device:
        assert not device.is_alive()
        with pytest.raises(DeviceError, match=f"'{target}' has no model yet"):
            device.infer(x)
        device.prepare_for_inference(host_built if target == "host" else DIGITS)
        assert device.is_alive()
        outputs, profile = device.infer(x, batch_size=4)
        assert list(outputs) == ["probabilities"] and profile.batches == 3 and profile.samples == 10
        assert (profile.instructions is not None) == (target != "host")
        np.testing.assert_array_equal(device.predict(x), outputs["probabilities"])
        assert device.predict(x[:1], batch_size=4).shape == outputs["probabilities"][:1].shape
        for wrong in (x[:0], np.full_like(x, np.nan), x.astype(np.complex64)):
            with pytest.raises(DataError):
                device.infer(wrong)
    assert not device.is_alive()
    device.close()


@pytest.mark.slow
def test_another_model_and_another_board(x: np.ndarray, host_built: ew.Built) -> None:
    """A Model and choices go through `generate`, in the place of what was there; a build is for one board."""
    with ew.Device("host") as device:
        device.prepare_for_inference(host_built)
        first = device.predict(x)
        device.prepare_for_inference(ew.load(DIGITS), optimize="size")
        np.testing.assert_allclose(device.predict(x), first, atol=1e-5)
    with pytest.raises(DeviceError, match="built for 'host', this is 'microbit'"):
        ew.Device("microbit").prepare_for_inference(host_built)
    with pytest.raises(TargetError, match="unknown target"):
        ew.Device("nothing-like-it")
