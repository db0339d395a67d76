"""Einsum: transposes, multiplications and matrix products; no operator of its own.

Operands are joined from the left, two at a time. A letter that neither a later operand nor the result has is summed as
soon as it can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import DType
from edgewright.ops.core import Case, cases, from_onnx, given, operator, weights
from edgewright.ops.linear import matmul_for


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return a letter for each axis of the operands and of the result; axes under an ellipsis get digits.

    Raises: ShapeError.
    """
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ShapeError(f"equation '{equation}' has {len(terms)} terms for {len(ranks)} operands")
    widest, named = 0, []
    for term, rank in zip(terms, ranks, strict=True):
        letters = term.replace("...", "", 1)
        hidden = rank - len(letters) if "..." in term else 0
        if not (letters == "" or letters.isalpha()) or hidden < 0 or len(letters) + hidden != rank:
            raise ShapeError(f"term '{term}' of equation '{equation}' does not fit a rank of {rank}")
        widest = max(widest, hidden)
        named.append((term, hidden))
    digits = "".join(chr(0x100 + i) for i in range(widest))  # beyond any letter of an equation
    spelled = [term.replace("...", digits[len(digits) - hidden :]) for term, hidden in named]
    if arrow:
        result = right.replace("...", digits, 1)
    else:
        once = sorted(letter for letter in set(left) if letter.isalpha() and left.count(letter) == 1)
        result = digits + "".join(once)
    if len(set(result)) != len(result) or not set(result) <= set("".join(spelled)):
        raise ShapeError(f"the result of equation '{equation}' has a letter twice, or one that no term has")
    return spelled, result


class _Term:
    """An operand on its way: a tensor of the foreign node, and a letter for each of its axes."""

    def __init__(self, foreign: Any, tensor: str, letters: str) -> None:
        self.foreign, self.tensor, self.letters = foreign, tensor, letters

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each letter's axis."""
        return dict(zip(self.letters, self.foreign.type_of(self.tensor).shape, strict=True))

    def ordered(self, letters: str) -> _Term:
        """The same with its axes in the order of `letters`, which are its own."""
        if letters == self.letters:
            return self
        perm = tuple(self.letters.index(letter) for letter in letters)
        return _Term(self.foreign, self.foreign.emit("Transpose", [self.tensor], perm=perm), letters)

    def reshaped(self, *sizes: int) -> str:
        """The tensor under another shape."""
        return str(self.foreign.emit("Reshape", [self.tensor], shape=sizes))

    def spread(self, letters: str) -> str:
        """The tensor with an axis for each of `letters`: of size 1 where it has none."""
        kept = self.ordered("".join(letter for letter in letters if letter in self.letters))
        return kept.reshaped(*(kept.sizes.get(letter, 1) for letter in letters))

    def diagonal(self) -> _Term:
        """A letter that occurs twice names the diagonal: every (n + 1)-th element of its n * n."""
        term = self
        for letter in dict.fromkeys(self.letters):
            while term.letters.count(letter) > 1:
                shape = term.foreign.type_of(term.tensor).shape
                places = [i for i, other in enumerate(term.letters) if other == letter][:2]
                size = shape[places[0]]
                if shape[places[1]] != size:
                    raise ShapeError(f"letter '{letter}' stands for sizes {size} and {shape[places[1]]}")
                rest = [i for i in range(len(shape)) if i not in places]
                moved = term.foreign.emit("Transpose", [term.tensor], perm=(*rest, *places))
                kept = tuple(shape[i] for i in rest)
                flat = term.foreign.emit("Reshape", [moved], shape=(*kept, size * size))
                tensor = term.foreign.emit(
                    "Slice", [flat], starts=(0,) * (len(kept) + 1), steps=(*(1 for _ in kept), size + 1),
                    sizes=(*kept, size),
                )  # fmt: skip
                term = _Term(term.foreign, tensor, "".join(term.letters[i] for i in rest) + letter)
        return term

    def summed(self, needed: str) -> _Term:
        """Without the axes that are not `needed`: summed over them."""
        gone = [letter for letter in self.letters if letter not in needed]
        if not gone:
            return self
        kept = "".join(letter for letter in self.letters if letter in needed)
        axes = tuple(self.letters.index(letter) for letter in gone)
        if self.foreign.type_of(self.tensor).dtype is not DType.F32:
            sums = self.foreign.emit("ReduceSum", [self.tensor], axes=axes)
        else:  # which has an integer form, too
            count = math.prod(self.sizes[letter] for letter in gone)
            sums = self.foreign.emit("ReduceMean", [self.tensor], axes=axes)
            if count > 1:
                name = self.foreign.add_constant(f"{self.foreign.name}.count", np.array(count, np.float32))
                sums = self.foreign.emit("Mul", [sums, name])
        shape = tuple(self.sizes[letter] for letter in kept)
        return _Term(self.foreign, self.foreign.emit("Reshape", [sums], shape=shape), kept)


def _without_ones(term: _Term, sizes: dict[str, int]) -> _Term:
    """Drop axes of size 1 that broadcast to another size."""
    kept = "".join(letter for letter in term.letters if term.sizes[letter] == sizes[letter])
    if kept == term.letters:
        return term
    return _Term(term.foreign, term.reshaped(*(term.sizes[letter] for letter in kept)), kept)


def _joined(a: _Term, b: _Term, needed: str) -> _Term:
    """The product of two operands, summed over the letters that are not needed: Mul, or MatMul."""
    foreign = a.foreign
    a, b = (x.summed(needed + y.letters) for x, y in ((a, b), (b, a)))
    summed = "".join(letter for letter in a.letters if letter not in needed)
    both = "".join(letter for letter in a.letters if letter in b.letters and letter in needed)
    left = "".join(letter for letter in a.letters if letter not in b.letters)
    right = "".join(letter for letter in b.letters if letter not in a.letters)
    sizes = {**a.sizes, **b.sizes}
    if not summed:
        letters = both + left + right
        return _Term(foreign, foreign.emit("Mul", [a.spread(letters), b.spread(letters)]), letters)
    letters = both + left + right
    dtype = foreign.type_of(a.tensor).dtype
    if dtype not in operator(matmul_for(dtype)).dtypes | {DType.F16, DType.BF16}:  # these are refused, and widened
        products = foreign.emit("Mul", [a.spread(letters + summed), b.spread(letters + summed)])
        return _Term(foreign, products, letters + summed).summed(letters)
    m, k, n = (math.prod(sizes[letter] for letter in group) for group in (left, summed, right))
    batch = tuple(sizes[letter] for letter in both)
    product = foreign.emit(
        matmul_for(dtype),
        [
            a.ordered(both + left + summed).reshaped(*batch, m, k),
            b.ordered(both + summed + right).reshaped(*batch, k, n),
        ],
    )
    return _Term(foreign, _Term(foreign, product, "").reshaped(*(sizes[letter] for letter in letters)), letters)


@from_onnx("Einsum")
def _einsum(foreign: Any) -> None:
    operands = [foreign.tensor(index) for index in range(foreign.n_inputs)]
    spelled, result = parse(foreign.attrs["equation"], [len(x.shape) for x in operands])
    terms = [_Term(foreign, x.name, letters).diagonal() for x, letters in zip(operands, spelled, strict=True)]
    sizes: dict[str, int] = {}
    for term in terms:
        for letter, size in term.sizes.items():
            known = sizes.setdefault(letter, size)
            if size not in (1, known) and known != 1:
                raise ShapeError(f"letter '{letter}' stands for sizes {known} and {size}")
            sizes[letter] = max(known, size)
    terms = [_without_ones(term, sizes) for term in terms]
    total = terms[0]
    for index, term in enumerate(terms[1:], 1):
        total = _joined(total, term, result + "".join(later.letters for later in terms[index + 1 :]))
    total = total.summed(result)
    foreign.emit("Reshape", [total.spread(result)], final=0, shape=tuple(sizes[letter] for letter in result))


cases(
    Case("Einsum", "matmul", (given(3, 4), given(4, 5)), {"equation": "ij,jk->ik"}),
    Case("Einsum", "attention", (given(2, 3, 2, 4), given(2, 5, 2, 4)), {"equation": "bqhd,bkhd->bhqk"}),
    Case("Einsum", "ellipsis", (given(2, 3, 4), given(4, 5)), {"equation": "...ij, jk -> ...ik"}),
    Case("Einsum", "implicit", (given(3, 4), weights(4)), {"equation": "ba,a"}),
    Case("Einsum", "transpose", (given(2, 3, 4),), {"equation": "ijk->kij"}),
    Case("Einsum", "sum", (given(3, 4),), {"equation": "ij->i"}),
    Case("Einsum", "diagonal", (given(4, 2, 4),), {"equation": "iji->ij"}),
    Case("Einsum", "outer", (given(3), given(4)), {"equation": "i,j->ij"}),
    Case("Einsum", "three", (given(2, 3), given(3, 4), given(4, 2)), {"equation": "ij,jk,kl->il"}),
    Case("Einsum", "float64", (given(3, 4), given(4, 5)), {"equation": "ij,jk->ik"}, dtype="float64", slow=True),
    Case("Einsum", "int32", (given(2, 3, 4), given(2, 4)), {"equation": "bij,bj->b"}, dtype="int32", slow=True),
    Case("Einsum", "product", (given(2, 3), given(2, 3)), {"equation": "ij,ij->i"}),
)
