import doctest
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stages.core.project import names
from stages.core.project.names import clean, similar

SIMILAR = (  # each differs in one way that a person's hand or a spreadsheet makes
    ("dog00", "Dog00"),
    ("STRASSE", "straße"),
    ("dog 00", "dog00"),
    ("dog  00", "dog 00"),
    ("dog\u00a000", "dog 00"),
    ("dog_00", "dog-00"),
    ("dog\u201300", "dog-00"),
    ("ｄｏｇ", "dog"),
    ("ﾊﾟﾝ", "パン"),
    ("Zoë", "Zoe"),
    ("don’t", "don't"),
    ("dog.", "dog"),
    ("p\u200b1", "p1"),
    ("1", "1.0"),
    ("1", "01"),
    ("1.5", "1.50"),
    ("dog1", "dog01"),
    ("d\u043eg", "dog"),  # a Cyrillic letter
    ("f\u0131re", "fire"),
    ("Bjørn", "Bjorn"),
    ("dog\u2011house", "dog house"),
    ("ﬁre", "fire"),
    ("'dog'", "dog"),
    ("patient_anna", "patient_ana"),
    ("footstep", "footsteps"),
    ("hospital north", "hospitel north"),
    ("dog\u0661", "dog1"),  # an Arabic digit
)
DIFFERENT = (
    ("male", "female"),
    ("healthy", "unhealthy"),
    ("symptomatic", "asymptomatic"),
    ("typical", "atypical"),
    ("speaker_a", "speaker_b"),
    ("participantA", "participantB"),
    ("participant_0013", "participant_0031"),
    ("100032", "100038"),
    ("a1b2c3d4", "a1b2c3d5"),  # a hash
    ("1-2", "12"),
    ("1.5", "15"),
    ("лес", "лев"),
    ("バス", "ハス"),  # bus and lotus: not an accent
    ("cat", "car"),
    ("avalidation", "bvalidation"),
    ("Male_singing", "Female_singing"),
)


def test_names_that_a_hand_made_different_are_similar() -> None:
    assert [pair for pair in SIMILAR if similar(pair) != [tuple(sorted(pair))]] == []


def test_names_that_mean_something_else_are_not() -> None:
    assert [pair for pair in DIFFERENT if similar(pair)] == []


def test_three_names_that_differ_in_one_letter_enumerate() -> None:
    assert similar(["sessionx", "sessiony", "sessionz"]) == []
    assert similar(["sessionx", "sessiony"]) == [("sessionx", "sessiony")]


def test_similar_names_form_sets() -> None:
    assert similar(["Dog 00", "dog00", "cat", "DOG-00", "dog 00", "cat"]) == [("DOG-00", "Dog 00", "dog 00", "dog00")]


@given(st.lists(st.text(max_size=12), max_size=12), st.randoms())
def test_sets_are_disjoint_and_the_order_does_not_matter(given_names: list[str], random: Any) -> None:
    cleaned = [clean(name) for name in given_names]
    found = similar(cleaned)
    members = [name for alike in found for name in alike]
    assert len(members) == len(set(members))
    assert all(len(alike) > 1 and list(alike) == sorted(alike) for alike in found)
    random.shuffle(cleaned)
    assert similar(cleaned) == found


@given(st.text(max_size=20))
def test_cleaning_is_idempotent_and_case_alone_is_similar(name: str) -> None:
    once = clean(name)
    assert clean(once) == once
    if once.casefold() != once and clean(once.casefold()):
        assert similar([once, clean(once.casefold())])


def test_names_of_thousands_of_speakers_take_moments() -> None:
    hashes = [f"{number * 2654435761 % 2**32:08x}" for number in range(20_000)]
    assert similar(hashes) == []


def test_the_examples_run() -> None:
    assert not doctest.testmod(names).failed
