"""Many networks in one firmware: inputs go to an emulated board byte by byte, outputs come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from conftest import WARNINGS

from edgewright.boards import Target
from edgewright.emit import SourceTree
from edgewright.native import native_model
from edgewright.native_board import compile_for_board, running

LIMIT_S = 20.0


def run_batch(
    target: Target, trees: Sequence[SourceTree], inputs: Sequence[Mapping[str, np.ndarray]], folder: Path,
    flags: Sequence[str] = ("-O2",),
) -> list[list[np.ndarray]]:  # fmt: skip
    """Return the outputs of every network. Shapes: inputs (n, *shape of one sample), likewise the outputs."""
    models = [native_model(tree) for tree in trees]
    all_flags = ["-std=c11", *flags, "-fno-strict-aliasing", *WARNINGS]
    elf = compile_for_board(models, target, folder / "firmware", all_flags, jobs=2)
    results = []
    with running(target, elf, LIMIT_S) as board:
        for number, (model, samples) in enumerate(zip(models, inputs, strict=True)):
            columns = [samples[port.name].reshape(-1, *port.shape) for port in model.inputs]
            made = [board.run_model(number, model, rows) for rows in zip(*columns, strict=True)]
            results.append([np.stack(outputs) for outputs in zip(*made, strict=True)])
    return results
