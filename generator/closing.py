"""What holds a process, a port or a board: a context manager whose end is `close`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Base of everything that has to be closed; leaving a `with` block closes it, however that happens."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; harmless when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
