"""The list of classes, and labels that are not in it."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest

from auditor.data.classes import ClassList, require_known, require_stored_order
from auditor.errors import InputError

Form = Literal["NFC", "NFD"]
GIVEN = ClassList(tuple("abcdefghijkl"), "as in classes.txt")


def test_the_stored_names_in_another_order_are_shown_from_where_they_part() -> None:
    with pytest.raises(InputError) as said:
        require_stored_order(GIVEN, tuple("abcfedghijkl"), "net")
    assert str(said.value) == (
        "net: its outputs are … f, e, d, g, h, … as stored in the checkpoint, but … d, e, f, g, h, "
        "… as in classes.txt; give the stored order in [candidate] classes, or store the right one "
        "in the checkpoint"
    )


@pytest.mark.parametrize(
    "stored", [None, GIVEN.names, tuple("mnopqrstuvwx"), tuple("ABCDEFGHIJKL")]
)
def test_other_names_or_none_say_nothing_of_the_order(stored: tuple[str, ...] | None) -> None:
    require_stored_order(GIVEN, stored, "net")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (("fraud", "legit"), ("Legit", "Fraud")),
        (("fraud", "legit"), ("legit ", " fraud")),
        (("hot dog", "T-shirt"), ("t_shirt", "hot_dog")),
        (("caf\u00e9", "tea"), ("tea", "cafe\u0301")),
        (("cat", "Cat"), ("Cat", "cat")),
    ],
)
def test_another_spelling_hides_no_other_order(
    given: tuple[str, ...], stored: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="give the stored order in"):
        require_stored_order(ClassList(given, "as in classes.txt"), stored, "net")
    require_stored_order(ClassList(given, "as in classes.txt"), stored[::-1], "net")


@pytest.mark.parametrize(("label", "name"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_that_look_the_same_are_told_apart(label: Form, name: Form) -> None:
    def cafe(form: Form) -> str:
        return unicodedata.normalize(form, "caf\u00e9")

    with pytest.raises(
        InputError, match=r"it differs from .* in Unicode form alone: write both in"
    ):
        require_known([cafe(label)], [cafe(name), "tea"], "test")
    require_known([cafe(label)], [cafe(label), "tea"], "test")
    with pytest.raises(InputError, match=r'did you mean "caf.*"'):
        require_known(["cafe"], [cafe("NFC"), "tea"], "test")


def test_a_number_that_is_no_class() -> None:
    with pytest.raises(InputError, match="name class folders and labels as the classes, or"):
        require_known(["0"], ["cat", "dog"], "test")
