"""Resume points: what a token says of a session, so that the client can go on with it here or on another server.

Without I/O. A token names the session, which may still wait for its client here, and carries what another server needs
to go on without it: the configuration, the recogniser's state of a commit, and the sample from which the client has to
send its audio again. It is signed and bound to the client's API key.

    msgpack [version, session id, owner, configuration, [client, session], [[committed, analysed, silent, state]], seq,
             flushes]
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import msgpack

from gigastt.gateway.access.tokens import Tokens
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.intake import Position
from gigastt.gateway.pool.events import Checkpoint, TrackCheckpoint
from gigastt.speakers import SpeakerFields
from gigastt.spelling import Spelling
from gigastt.transcript import Hotword, Options

_PURPOSE = "resume"
_VERSION = 1
_NO_SPEAKERS = SpeakerFields()


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A moment of a session.

    session_id: under which it may wait for its client.
    owner: the client's API key, by a digest; empty where none is asked for.
    configuration: what the client chose; what it said of speakers is no part of the token.
    position: of the first sample that has to come again.
    checkpoint: with which another session goes on, given the audio from there.
    flushes: of the client's, that were answered before.
    """

    session_id: str
    owner: str
    configuration: Configuration = field(default_factory=Configuration)
    position: Position = field(default_factory=Position)
    checkpoint: Checkpoint | None = None
    flushes: int = 0

    def sign(self, tokens: Tokens) -> str:
        """Return the token that says this."""
        checkpoint = self.checkpoint
        fields = [
            _VERSION,
            self.session_id,
            self.owner,
            _pack_configuration(replace(self.configuration, speakers=_NO_SPEAKERS)),
            [self.position.client, self.position.session],
            None if checkpoint is None else [list(asdict(track).values()) for track in checkpoint.tracks],
            0 if checkpoint is None else checkpoint.next_seq,
            self.flushes,
        ]
        return tokens.sign(_PURPOSE, msgpack.packb(fields))

    @classmethod
    def read(cls, token: str, tokens: Tokens) -> ResumePoint | None:
        """Return what a token says; None if it is none of ours, or of a version that is not understood."""
        payload = tokens.recognise(_PURPOSE, token)
        if payload is None:
            return None
        try:
            version, *fields = msgpack.unpackb(payload, use_list=False)
            if version != _VERSION:
                return None
            session_id, owner, configuration, position, tracks, seq, flushes = fields
            checkpoint = None if tracks is None else Checkpoint(tuple(TrackCheckpoint(*each) for each in tracks), seq)
            return cls(session_id, owner, _read_configuration(configuration), Position(*position), checkpoint, flushes)
        except (ValueError, TypeError, KeyError, zlib.error):  # signed by a server of another version
            return None


@lru_cache(maxsize=64)  # the same with every token of a session, and for most of them
def _pack_configuration(configuration: Configuration) -> Mapping[str, Any]:
    fields = asdict(replace(configuration, options=replace(configuration.options, hotwords=())))
    del fields["speakers"]
    return {**fields, "hotwords": _pack_hotwords(configuration.options.hotwords)}


def _pack_hotwords(hotwords: tuple[Hotword, ...]) -> bytes:
    return zlib.compress(msgpack.packb([[each.phrase, each.weight] for each in hotwords])) if hotwords else b""


def _read_configuration(fields: dict[str, Any]) -> Configuration:
    packed = fields.pop("hotwords", b"")
    hotwords = [Hotword(*each) for each in msgpack.unpackb(zlib.decompress(packed))] if packed else ()
    options = Options(**{**fields["options"], "hotwords": tuple(hotwords)})
    return Configuration(**{**fields, "options": options, "spelling": Spelling(**fields.get("spelling", {}))})
