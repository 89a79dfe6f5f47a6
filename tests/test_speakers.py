"""The book of speakers: labels as finals come, and the best ones at the end."""

from __future__ import annotations

import numpy as np

from gigastt.speakers import ChannelBook, KnownSpeaker, SpeakerBook, SpeakerWishes, with_speakers
from gigastt.transcript import Final, HeardSpeakers, Voice, Word

LIKENESS = 0.5


def embedding(*parts: float) -> bytes:
    vector = np.array([*parts, *[0.0] * (32 - len(parts))])
    return bytes((vector / np.linalg.norm(vector)).astype("<f2").tobytes())


ANNA, BORIS = embedding(1.0), embedding(0.0, 1.0)


def said(at: float, *voices: bytes, alone: float = 2.0, seq: int = 0) -> Final:
    """A final in which each voice says two words within two seconds."""
    words = [Word("слово", at + i, at + i + 0.5, 0.9) for i in range(2 * len(voices))]
    begins = [round(100 * at) + 200 * i for i in range(len(voices))]
    heard = tuple(Voice((begin, begin + 200), alone, one) for begin, one in zip(begins, voices, strict=True))
    return Final("…", tuple(words), at, at + 2 * len(voices), 0.9, "silence", seq=seq, voices=heard)


def labels(final: Final | HeardSpeakers) -> list[int]:
    finals = (final.words,) if isinstance(final, Final) else final.finals
    return [word.speaker for words in finals for word in words]


def test_speakers_are_numbered_as_they_appear_also_within_an_utterance() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)

    assert labels(book.label(said(0, BORIS))) == [0, 0]
    assert labels(book.label(said(5, ANNA, BORIS))) == [1, 1, 0, 0]

    heard = book.settle()
    assert labels(heard) == [0, 0, 1, 1, 0, 0]
    assert [(one.speaker, one.seconds) for one in heard.speakers] == [(0, 2.0), (1, 1.0)]
    np.testing.assert_allclose(np.frombuffer(heard.speakers[0].embedding, "<f2")[:2], [0, 1], atol=1e-3)


def test_a_final_with_speakers_says_what_it_said() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)
    before = said(0, ANNA)

    after = book.label(before)

    assert [(word.text, word.start, word.end, word.confidence) for word in after.words] == [
        (word.text, word.start, word.end, word.confidence) for word in before.words
    ]
    assert (after.text, after.start, after.end, after.voices) == (before.text, before.start, before.end, ())
    assert all(0 < word.speaker_confidence <= 1 for word in after.words)


def test_the_end_may_know_better_and_says_so_without_taking_a_label_back() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)
    odd = embedding(0.45, 0.0, 0.9)  # unlike the first one, until others between them come
    first = [book.label(said(0, ANNA)), book.label(said(5, odd))]
    for at in (10, 15, 20):
        book.label(said(at, embedding(0.8, 0.0, 0.6)))

    assert [labels(final) for final in first] == [[0, 0], [1, 1]]
    assert set(labels(book.settle())) == {0}


def test_no_more_speakers_than_there_are() -> None:
    for wishes in (SpeakerWishes(speakers=1), SpeakerWishes(most=1)):
        book = SpeakerBook(wishes, LIKENESS)
        assert labels(book.label(said(0, ANNA, BORIS))) == [0, 0, 0, 0]
        assert labels(book.settle()) == [0, 0, 0, 0]


def test_a_short_voice_opens_no_group() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)
    book.label(said(0, ANNA))

    assert labels(book.label(said(5, BORIS, alone=0.4))) == [0, 0]
    assert labels(book.settle()) == [0, 0, 0, 0]


def test_known_speakers_have_their_names_and_nobody_else_has() -> None:
    known = (KnownSpeaker("Борис", BORIS), KnownSpeaker("Вера", embedding(0, 0, 0, 1)), KnownSpeaker("x", b"\0\0" * 7))
    book = SpeakerBook(SpeakerWishes(known=known), LIKENESS)

    told = book.label(said(0, ANNA, BORIS))

    assert [word.speaker_name for word in told.words] == ["", "", "Борис", "Борис"]
    assert [one.name for one in book.settle().speakers] == ["", "Борис"]


def test_words_without_voices_have_no_speaker() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)
    bare = said(0)
    bare = Final("да", (Word("да", 0.0, 0.4, 0.9),), 0.0, 0.4, 0.9, "stop", voices=bare.voices)

    assert labels(book.label(bare)) == [-1]
    assert labels(book.settle()) == [-1]
    book.label(said(5, ANNA))
    assert labels(book.settle()) == [-1, 0, 0]


def test_the_end_belongs_to_the_finals_of_the_same_words() -> None:
    book = SpeakerBook(SpeakerWishes(), LIKENESS)
    finals = [book.label(said(0, ANNA)), book.label(said(5, BORIS))]

    assert [labels(final) for final in with_speakers(finals, book.settle())] == [[0, 0], [1, 1]]


def test_two_channels_are_two_speakers() -> None:
    book = ChannelBook()
    finals = [
        Final("да", (Word("да", at, at + 0.5, 0.9),), at, at + 0.5, 0.9, "silence", channel=channel)
        for at, channel in ((0.0, 1), (1.0, 0))
    ]

    assert [labels(book.label(final)) for final in finals] == [[1], [0]]
    assert [(one.speaker, one.seconds) for one in book.settle().speakers] == [(0, 0.5), (1, 0.5)]
