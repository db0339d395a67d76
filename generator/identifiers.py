"""Names from a model file are untrusted text: this room turns them into C identifiers and into harmless comments."""

from __future__ import annotations

import re

_KEYWORDS = frozenset(
    """
    alignas alignof asm auto bool break case char const constexpr continue default do double else enum extern false
    float for goto if inline int long main nullptr register restrict return short signed sizeof static static_assert
    struct switch thread_local true typedef typeof union unsigned void volatile while
    and and_eq bitand bitor char16_t char32_t char8_t class concept const_cast consteval constinit co_await
    co_return co_yield decltype dynamic_cast noexcept not_eq or_eq reinterpret_cast requires static_cast wchar_t xor_eq
    catch class compl delete explicit export friend mutable namespace new not operator or private protected public
    template this throw try typeid typename using virtual xor
    """.split()  # noqa: SIM905 - a list of a hundred strings is harder to read
)
# What generated files and the headers they include use at file scope, or as a local name beside the parameters.
_TAKEN = re.compile(
    r"(ew|step|params)(_.*|\d*)$|.*_t$|.*_w\d+$|.*_run$|(arena|is_bad|model|inputs|outputs)$"
)
_MAX_IDENTIFIER = 40
_MAX_COMMENT = 72


def c_identifier(text: str, fallback: str = "x") -> str:
    """Return a lower-case C identifier that resembles `text`, never reserved by C or C++."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").lower()[:_MAX_IDENTIFIER].rstrip("_")
    if not name or not name[0].isalpha():
        name = f"{fallback}_{name}".rstrip("_")
    return f"{name}_" if name in _KEYWORDS or _TAKEN.match(name) else name


def unique_identifiers(texts: list[str], taken: frozenset[str] = frozenset()) -> list[str]:
    """Return an identifier for each text, all different from each other and from `taken`."""
    seen, result = set(taken), []
    for text in texts:
        base = name = c_identifier(text)
        number = 2
        while name in seen:
            name = f"{base}_{number}"
            number += 1
        seen.add(name)
        result.append(name)
    return result


def comment_text(text: str) -> str:
    """Return `text` with only characters that cannot end a comment, a line or a string."""
    safe = re.sub(r"[^0-9A-Za-z_.:;,()\[\] -]", "_", text)
    return safe if len(safe) <= _MAX_COMMENT else safe[: _MAX_COMMENT - 3] + "..."
