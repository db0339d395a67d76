"""This computer as a device: the model as a shared library in this process."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgewright.build import Firmware
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, Device, DeviceRun, Progress
from edgewright.errors import DeviceError, ToolError
from edgewright.ir import Array
from edgewright.manifest import MadeFacts, Manifest


class LibraryDevice(Device):
    """This computer, in-process: the model as a shared library."""

    def __init__(self, firmware: Firmware, *, inference_timeout_s: float = INFERENCE_TIMEOUT_S) -> None:
        super().__init__(firmware)
        self._inference_timeout_s = inference_timeout_s
        self._library: ctypes.CDLL | None = None
        self._function: Callable[..., int] | None = None
        self._sample = np.zeros(0, np.uint8)  # of the inference that is run step by step
        self._outputs = np.zeros(0, np.uint8)

    def close(self) -> None:
        """Forget the library (the system keeps it mapped until Python ends)."""
        self._function = self._library = None

    def is_alive(self) -> bool:
        """Whether the library is loaded."""
        return self._function is not None

    def prepare_for_inference(self) -> None:
        """Load the library."""
        library = self.firmware.library
        if library is None:
            raise ToolError(f"'{self.firmware.folder}' has no shared library: run `edgewright build` again")
        manifest = self.firmware.manifest
        # The system's loader knows libraries by path, and would give an older build again: load a copy of our own.
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            copy = Path(folder) / library.name
            try:
                shutil.copyfile(library, copy)
                loaded = ctypes.CDLL(str(copy))
                function = getattr(loaded, f"{manifest.c_prefix}_run")
            except (OSError, AttributeError) as error:
                raise ToolError(f"cannot load {library.name}: {error}") from error
        function.restype = ctypes.c_int
        function.argtypes = [ctypes.c_void_p] * (len(manifest.inputs) + len(manifest.outputs))
        self._library, self._function = loaded, function

    @property
    def timer_hz(self) -> int:
        """That of Python's clock: a step's ticks contain the call from Python, about a microsecond."""
        return 1_000_000_000

    def run_steps(
        self, packed: Array | None, first: int, stop: int, wanted: Sequence[MadeFacts] = ()
    ) -> tuple[Array, list[Array]]:
        """Run steps of one inference; see `Device.run_steps`."""
        manifest = self.firmware.manifest
        if self._library is None:
            raise DeviceError("the device is closed")
        if packed is not None:
            self._sample = np.array(packed, np.uint8)
            self._outputs = np.zeros(manifest.output_bytes, np.uint8)
        try:
            step = getattr(self._library, f"{manifest.c_prefix}_step")
            arena = getattr(self._library, f"{manifest.c_prefix}_arena")
        except AttributeError as error:
            raise DeviceError("the library cannot run single steps: generate and build it again") from error
        pointers = [ctypes.c_void_p(p) for p in _pointers(manifest, self._sample, self._outputs)]
        ticks = np.zeros(stop - first, np.uint64)
        for number in range(first, stop):
            begin = time.perf_counter_ns()
            status = step(number, *pointers)
            ticks[number - first] = time.perf_counter_ns() - begin
            if status != 0:
                raise DeviceError(f"{manifest.c_prefix}_step returned status {status} at step {number}")
        arena.restype = ctypes.c_void_p
        found, size = [], ctypes.c_uint32()
        for made in wanted:
            start, end = made.offset_bytes, made.offset_bytes + made.size_bytes
            if made.buffer == "output":
                found.append(made.values(self._outputs[start:end].tobytes()))
                continue
            memory = arena(made.number, ctypes.byref(size))
            if memory is None or end > size.value:
                raise DeviceError(f"'{made.name}' lies outside the library's arenas")
            found.append(made.values(ctypes.string_at(memory + start, made.size_bytes)))
        return ticks, found

    def _run(self, packed: Array, batch_size: int | None, on_progress: Progress | None) -> tuple[Array, DeviceRun]:
        if self._function is None:
            raise DeviceError("the device is closed")
        calls = _LibraryCalls(self._function, packed, self.firmware.manifest)
        started = time.monotonic()
        calls.start()
        seen, moved_at = 0, started
        while calls.is_alive():
            calls.join(0.05)  # a signal is handled here: it could not be inside the C function
            if calls.done > seen:
                seen, moved_at = calls.done, time.monotonic()
                if on_progress is not None:
                    on_progress(seen)
            elif time.monotonic() - moved_at > self._inference_timeout_s and calls.is_alive():
                raise DeviceError(f"sample {seen} did not end within {self._inference_timeout_s:g} s")
        if calls.failure is not None:
            raise calls.failure
        batches = -(-len(packed) // batch_size) if batch_size else 1
        seconds, latency_us = time.monotonic() - started, calls.nanoseconds / 1000.0
        return calls.outputs, DeviceRun({}, len(packed), batches, seconds, calls.first_at, latency_us=latency_us)


class _LibraryCalls(threading.Thread):
    """Calls the library for each sample, beside the thread that watches the time and takes signals."""

    def __init__(self, function: Callable[..., int], packed: Array, manifest: Manifest) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._packed = packed
        self._manifest = manifest
        self.outputs = np.zeros((len(packed), manifest.output_bytes), np.uint8)
        self.nanoseconds = np.zeros(len(packed), np.int64)
        self.first_at = 0.0
        self.done = 0
        self.failure: DeviceError | None = None

    def run(self) -> None:
        manifest = self._manifest
        for index in range(len(self._packed)):
            pointers = _pointers(manifest, self._packed[index], self.outputs[index])
            begin = time.perf_counter_ns()
            status = self._function(*pointers)
            self.nanoseconds[index] = time.perf_counter_ns() - begin
            if status != 0:
                self.failure = DeviceError(f"{manifest.c_prefix}_run returned status {status} at sample {index}")
                return
            self.first_at = self.first_at or time.monotonic()
            self.done = index + 1


def _pointers(manifest: Manifest, sample: Array, outputs: Array) -> list[int]:
    """Return the arguments of the model's run function. Shapes: packed uint8, of one sample."""
    found = [sample.ctypes.data + port.offset_bytes for port in manifest.inputs]
    return found + [outputs.ctypes.data + port.offset_bytes for port in manifest.outputs]
