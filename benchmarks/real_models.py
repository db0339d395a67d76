"""Published networks to try: those of the onnx package, and those that come inside Python packages.

The onnx package's have their weights left out; here they get seeded random ones. Packages are fetched from PyPI once,
as files, and never installed: EDGEWRIGHT_WHEELS names the folder they are kept in (the user's cache, if it does not).
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright.drivers.icount import cache_dir
from edgewright.ir import Array

SEED = 20261122
LIGHT = ("squeezenet", "shufflenet", "inception_v1", "inception_v2", "densenet121", "resnet50")


@dataclass(frozen=True)
class Network:
    """A network and how it is fed. Shapes: `inputs` pins them. `state` maps an output to the input that it feeds."""

    name: str
    make: Callable[[], bytes]
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    bind: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    windows: int = 2  # inferences, one after the other


def light(name: str) -> bytes:
    """Return a network of the onnx package with random weights: He's for matrices, around 1 for the rest.

    A Softmax at the end is left out: of random weights it makes one 1 and zeros, which are easily equal.
    """
    model = onnx.load(Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx")
    rng = np.random.default_rng(SEED)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        if len(shape) > 1:
            values = rng.normal(size=shape).astype(np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        else:
            values = rng.uniform(0.5, 1.5, size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    for node in [node for node in kept if node.op_type == "Softmax" and node.output[0] == model.graph.output[0].name]:
        model.graph.output[0].name = node.input[0]
        kept.remove(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 8  # from 4 on an initializer need not be an input, which a caller may override
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return bytes(model.SerializeToString(deterministic=True))


def wheels() -> Path:
    """The folder that packages are kept in."""
    return Path(os.environ.get("EDGEWRIGHT_WHEELS", cache_dir() / "wheels"))


def from_wheel(package: str, member: str, fetch: bool = True) -> bytes:
    """Return a file of a package. Raises: FileNotFoundError where it is not there and is not to be fetched."""
    folder = wheels()
    pattern = f"{package.replace('-', '_')}-*.whl"
    if not list(folder.glob(pattern)):
        if not fetch:
            raise FileNotFoundError(f"{folder / pattern}: benchmarks/real_networks.py fetches it")
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True)
    with zipfile.ZipFile(sorted(folder.glob(pattern))[-1]) as archive:
        return archive.read(member)


def silero_vad(fetch: bool = True) -> Network:
    """Voice activity, 16 kHz: windows of 512 samples and 64 of the one before; the state goes round."""
    return Network(
        "silero_vad", lambda: from_wheel("silero-vad", "silero_vad/data/silero_vad.onnx", fetch),
        {"input": (1, 576), "state": (2, 1, 128)}, {"sr": np.array(16000, np.int64)}, {"stateN": "state"}, windows=20,
    )  # fmt: skip


def ocr_cls(fetch: bool = True) -> Network:
    """Which way up a line of text is: MobileNetV3 of PaddleOCR."""
    member = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
    return Network("ocr_cls", lambda: from_wheel("rapidocr-onnxruntime", member, fetch), {"x": (1, 3, 48, 192)})


def networks() -> list[Network]:
    """Return all of them."""
    return [*(Network(name, lambda name=name: light(name)) for name in LIGHT), silero_vad(), ocr_cls()]


def window(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, Array]:
    """Return random inputs of one inference, of the standard normal distribution."""
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
