"""How much of a line's baud rate the link uses: `python benchmarks/link.py`.

1,000 kws inputs go through the host's own firmware behind a line that is paced to a baud rate in both directions, with
and without the overlap of batches. Then a model that takes a fixed time, slower than its inputs' travel: how much of
the run is inference.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from document import write_table
from line_proxy import BITS_PER_BYTE, Proxy, board, clean
from link_faults import compile_device, make_samples
from mcu_networks import make

import edgewright as ew
from edgewright.drivers import process
from edgewright.drivers.link import Link
from edgewright.samples import check_data, pack

BAUDS = (115_200, 921_600)
INPUTS = 1000
SLOW_INPUTS = 500
SLOW_MS = {115_200: 60, 921_600: 10}  # an inference; 496 bytes travel in 43 and 5.4 ms
_ELEMENTS = 122  # of link_device.c: packed into 496 bytes, as a kws input
_OUTPUTS = 4  # of them that come back: 16 bytes, as kws's


@contextmanager
def paced_firmware(elf: Path, baud: int) -> Iterator[str]:
    """Start the host's firmware behind a pseudo terminal and a paced line; give the line's URL."""
    with process.start([elf]) as firmware:
        terminal = os.open(firmware.wait_for_line(r"^(/dev/\S+)$", 10).group(1), os.O_RDWR | os.O_NOCTTY)
        proxy = Proxy(terminal, terminal, clean, clean, baud)
        try:
            yield proxy.url
        finally:
            proxy.close()
            os.close(terminal)


def utilisation(elf: Path, packed: np.ndarray, wanted: np.ndarray, baud: int, overlap: bool) -> tuple[float, float]:
    """Return the share of the baud rate that was samples, and the seconds of the run."""
    with paced_firmware(elf, baud) as url, Link.open(url) as link:
        link.hello()
        started = time.monotonic()
        run = link.run_batches(packed, overlap=overlap)
        seconds = time.monotonic() - started
    np.testing.assert_array_equal(run.outputs, wanted)
    return packed.size * BITS_PER_BYTE / baud / seconds, seconds


def hidden(device: Path, baud: int, overlap: bool) -> tuple[float, float]:
    """Return the share of the run that was inference, and its seconds."""
    delay_ms = SLOW_MS[baud]
    samples, wanted = make_samples(np.random.default_rng(1), SLOW_INPUTS, _ELEMENTS)
    memory = 40 * (samples.shape[1] + 4 * _OUTPUTS + 8)  # 40 samples: as on a small board
    argv = [device, _ELEMENTS, memory, f"delay_us={delay_ms * 1000}", f"outputs={_OUTPUTS}"]
    with board(argv, baud=baud) as line, Link.open(line.proxy.url) as link:
        link.hello()
        started = time.monotonic()
        run = link.run_batches(samples, overlap=overlap)
        took = time.monotonic() - started
    np.testing.assert_array_equal(run.outputs, wanted[:, : run.outputs.shape[1]])
    return float(run.ticks.sum()) / 1e6 / took, took


def table() -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model, x = make("kws", INPUTS)
        path = Path(folder) / "kws.onnx"
        onnx.save(model, path)
        firmware = ew.generate(ew.load(path), "host").build()
        manifest = firmware.firmware.manifest
        packed = pack(check_data({manifest.inputs[0].name: x[:INPUTS]}, manifest.inputs), manifest)
        elf = firmware.firmware.elf
        with process.start([elf]) as program:
            terminal = program.wait_for_line(r"^(/dev/\S+)$", 10).group(1)
            with Link.open(terminal) as link:
                wanted = link.run_batches(packed).outputs
        device = compile_device(Path(folder), 1024)
        for baud in BAUDS:
            for overlap in (False, True):
                share, seconds = utilisation(elf, packed, wanted, baud, overlap)
                rows.append(
                    f"| kws | {baud:,} | {'yes' if overlap else 'no'} | {INPUTS:,} | {seconds:.2f} | {share:.1%} | |"
                )
                print(rows[-1], flush=True)
        for baud in BAUDS:
            for overlap in (False, True):
                share, seconds = hidden(device, baud, overlap)
                rows.append(
                    f"| {SLOW_MS[baud]} ms an inference | {baud:,} | {'yes' if overlap else 'no'} | {SLOW_INPUTS:,} "
                    f"| {seconds:.2f} | | {share:.1%} |"
                )
                print(rows[-1], flush=True)
    return "\n".join([
        "Made by `python benchmarks/link.py --write`.", "",
        "| model | baud | overlap | inputs | seconds | line | hidden |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |", *rows, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/BENCHMARKS.md")
    options = parser.parse_args()
    text = table()
    if options.write:
        write_table("link", text)
    print(text)


if __name__ == "__main__":
    main()
