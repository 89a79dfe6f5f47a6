"""Settings of a Realtime transcription session, in the API's shape of today and in that of its beta. Pure.

    {"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"turn_detection":{…}}}}
    {"input_audio_format":"pcm16","turn_detection":{…}}                                                  (beta)

A field that is absent leaves things as they were. Settings that steer other models are told back as they came, and
change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gigastt.audio.pcm import Encoding
from gigastt.errors import InvalidParameter
from gigastt.gateway.api.dialect import Configuration
from gigastt.gateway.api.openai_form import is_russian
from gigastt.transcript import ENDPOINT_SILENCE_MS, Options

Fields = dict[str, Any]

LOGPROBS = "item.input_audio_transcription.logprobs"
RATES = (8_000, 16_000, 24_000, 48_000)  # of audio/pcm; the API itself has 24,000 only
_PCM, _ULAW, _ALAW = "audio/pcm", "audio/pcmu", "audio/pcma"
_ENCODINGS: dict[str, Encoding] = {_PCM: "pcm_s16le", _ULAW: "mulaw", _ALAW: "alaw"}
_BETA_FORMATS = {"pcm16": _PCM, "g711_ulaw": _ULAW, "g711_alaw": _ALAW}
_TELEPHONE_RATE, _DEFAULT_RATE = 8_000, 24_000
_MOST_ECHOED = 1000  # characters of what changes nothing


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """The settings of one session.

    finds_turns: whether the server ends turns, at silence; else the client commits.
    echoed: settings of the transcription that change nothing, as they came.
    """

    kind: str = _PCM
    rate: int = _DEFAULT_RATE
    finds_turns: bool = True
    silence_ms: int = Options().endpoint_silence_ms
    logprobs: bool = False
    echoed: Fields = field(default_factory=lambda: {"model": "gpt-4o-transcribe"})

    @property
    def configuration(self) -> Configuration:
        """The configuration of a session that has these settings."""
        return Configuration(
            sample_rate=self.rate, encoding=_ENCODINGS[self.kind], options=Options(endpoint_silence_ms=self.silence_ms)
        )

    def change(self, session: object) -> RealtimeSettings:
        """Return the settings after `session.update`, or `transcription_session.update` of the beta.

        Raises:
            InvalidParameter: a setting is wrong; `param` names it.
        """
        if not isinstance(session, dict):
            raise InvalidParameter("session must be an object.", param="session")
        changed = self
        audio = session.get("audio")
        source = audio.get("input") if isinstance(audio, dict) else None
        names = ("format", "transcription", "turn_detection")
        values = {name: source[name] for name in names if name in source} if isinstance(source, dict) else {}
        values |= {name: session[old] for name, old in _BETA_NAMES.items() if old in session}
        if values.get("format") is not None:
            changed = changed._change_format(values["format"])
        if isinstance(values.get("transcription"), dict):
            changed = changed._change_transcription(values["transcription"])
        if "turn_detection" in values:
            changed = changed._change_turns(values["turn_detection"])
        if isinstance(include := session.get("include"), list):
            changed = replace(changed, logprobs=LOGPROBS in include)
        return changed

    def fields(self) -> Fields:
        """Render the settings as they are in force."""
        pcm = {"rate": self.rate} if self.kind == _PCM else {}
        source = {
            "format": {"type": self.kind, **pcm},
            "transcription": {**self.echoed, "language": "ru"},
            "noise_reduction": None,
            "turn_detection": self._turns(),
        }
        return {"type": "transcription", "audio": {"input": source}, "include": self._include()}

    def beta_fields(self) -> Fields:
        """Render them in the shape of the beta."""
        return {
            "modalities": ["text"],
            "input_audio_format": next(old for old, kind in _BETA_FORMATS.items() if kind == self.kind),
            "input_audio_transcription": {**self.echoed, "language": "ru"},
            "input_audio_noise_reduction": None,
            "turn_detection": self._turns(),
            "include": self._include(),
        }

    def _change_format(self, value: object) -> RealtimeSettings:
        """Take `{"type":"audio/pcm","rate":24000}` or, of the beta, `"pcm16"`."""
        kind, rate = (value.get("type"), value.get("rate")) if isinstance(value, dict) else (value, None)
        kind = _BETA_FORMATS.get(kind, kind) if isinstance(kind, str) else ""
        if kind not in _ENCODINGS:
            raise InvalidParameter(
                f"format must be one of {', '.join(_ENCODINGS)}.", param="session.audio.input.format"
            )
        if kind != _PCM:
            return replace(self, kind=kind, rate=_TELEPHONE_RATE)
        if rate is not None and rate not in RATES:
            rates = ", ".join(map(str, RATES))
            raise InvalidParameter(f"rate must be one of {rates}.", param="session.audio.input.format.rate")
        return replace(self, kind=kind, rate=int(rate or _DEFAULT_RATE))

    def _change_transcription(self, value: Fields) -> RealtimeSettings:
        language = value.get("language")
        if language and not (isinstance(language, str) and is_russian(language)):
            raise InvalidParameter(
                "This server transcribes Russian (ru) only.", param="session.audio.input.transcription.language"
            )
        echoed = {name: value[name] for name in ("model", "prompt") if isinstance(value.get(name), str)}
        return replace(self, echoed={**self.echoed, **{name: text[:_MOST_ECHOED] for name, text in echoed.items()}})

    def _change_turns(self, value: object) -> RealtimeSettings:
        if value is None:
            return replace(self, finds_turns=False)
        name = "session.audio.input.turn_detection"
        if not isinstance(value, dict) or value.get("type", "server_vad") not in ("server_vad", "semantic_vad"):
            raise InvalidParameter("turn_detection must be null, server_vad or semantic_vad.", param=name)
        silence = value.get("silence_duration_ms")
        if silence is None:
            return replace(self, finds_turns=True)
        if isinstance(silence, bool) or not isinstance(silence, int | float) or not 0 <= silence < 1e6:
            name = f"{name}.silence_duration_ms"
            raise InvalidParameter("silence_duration_ms must be a number of milliseconds.", param=name)
        least, most = ENDPOINT_SILENCE_MS
        return replace(self, finds_turns=True, silence_ms=max(least, min(most, round(silence))))

    def _turns(self) -> Fields | None:
        return {"type": "server_vad", "silence_duration_ms": self.silence_ms} if self.finds_turns else None

    def _include(self) -> list[str] | None:
        return [LOGPROBS] if self.logprobs else None


_BETA_NAMES = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "turn_detection": "turn_detection",
}
