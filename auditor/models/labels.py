"""Class names as training code stores them in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["find_class_names"]

_KEYS = (
    *("classes", "class_names", "class_to_idx", "label_names"),
    *("id2label", "label2id", "idx_to_class"),
)
_PLACEHOLDER = "LABEL_"
"""What transformers calls the outputs, with their numbers, where nobody named them."""


def find_class_names(*places: Mapping[str, object]) -> tuple[str, ...] | None:
    """Return the class names in output order, or None.

    Parameters
    ----------
    places
        Mappings to look into, the first that has usable names wins. Names may be a list, one text
        with a name a line, name → output, or output → name (as a number or as text).
    """
    for place in places:
        for key in _KEYS:
            if (names := _names(place.get(key))) and not _are_placeholders(names):
                return names
    return None


def _are_placeholders(names: tuple[str, ...]) -> bool:
    return all(name == f"{_PLACEHOLDER}{place}" for place, name in enumerate(names))


def _names(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str) and "\n" in value:  # one line would be a path: timm's --class-map
        return tuple(line.strip() for line in value.splitlines() if line.strip())
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return tuple(value) or None
    if isinstance(value, Mapping):
        return _from_mapping(value)
    return None


def _from_mapping(mapping: Mapping[object, object]) -> tuple[str, ...] | None:
    pairs = [_pair(key, value) for key, value in mapping.items()]
    by_output = dict(pair for pair in pairs if pair is not None)
    if not pairs or sorted(by_output) != list(range(len(pairs))):
        return None  # a gap, a repeat or another kind of mapping: no order can be read from it
    return tuple(by_output[output] for output in range(len(pairs)))


def _pair(key: object, value: object) -> tuple[int, str] | None:
    if isinstance(key, str) and isinstance(value, int):
        return value, key
    if isinstance(value, str) and str(key).isdecimal():
        return int(str(key)), value
    return None
