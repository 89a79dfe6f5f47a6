"""Following: captions for readers of a session, in whichever dialect its client speaks.

The messages are those of `/v1/ws`, between `{"type":"ready"}` and `{"type":"end"}`. Runs in the task of the session.
"""

from __future__ import annotations

from collections.abc import Hashable

from gigastt.errors import SessionTaken
from gigastt.gateway.api import wire
from gigastt.gateway.api.dialect import Moment
from gigastt.gateway.feeds import Feed, Feeds
from gigastt.transcript import Final, Gap, Partial


class Captions:
    """The captions of one session.

    Args:
        name: the one that its client has chosen; None for none.
        session_id: the name where there is no other, or another client has it.
        owner: the client.
    """

    __slots__ = ("_feed", "_feeds")  # as many as sessions

    def __init__(self, feeds: Feeds, name: str | None, session_id: str, owner: Hashable) -> None:
        self._feeds = feeds
        self._feed = _begin(feeds, name, owner) or feeds.begin_along(session_id, owner)
        self._feed.add('{"type":"ready"}')

    def tell(self, event: Partial | Final | Gap, moment: Moment) -> None:
        """Tell an event; a partial costs nothing where nobody reads."""
        match event:
            case Partial():
                if self._feed.followers:
                    self._feed.add(wire.partial(event, moment), passing=True)
            case Final():
                self._feed.add(wire.final(event, channels=moment.channels), passing=not event.text)
            case Gap():
                self._feed.add(wire.failure(event, channels=moment.channels))

    def end(self) -> None:
        """The session is over."""
        self._feeds.end(self._feed)
        if self._feed.ended:
            self._feed.add('{"type":"end"}')


def _begin(feeds: Feeds, name: str | None, owner: Hashable) -> Feed | None:
    try:
        return feeds.begin_along(name, owner) if name is not None else None
    except SessionTaken:
        return None
