"""The environment: `GIGASTT_…` variables that are settings, and those that are not.

A misspelt setting would leave a server open, or without a limit, and nobody would know: that is an error. A variable
that is not like any setting belongs to somebody else and is only mentioned. Kubernetes and Docker describe a service in
the environment of its neighbours (`GIGASTT_PORT=tcp://10.0.0.1:9876`): for a service named `gigastt` those variables
look like ours, and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches

PREFIX = "GIGASTT_"
_NEAR = 0.7  # API_KEY is as near to API_KEYS_FILE; VERSION is farther from PRECISION
_LINK = re.compile(
    rf"{PREFIX}(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINK_PORT = re.compile(rf"{PREFIX}(?:\w+_)?PORT")
_LINK_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")


def is_service_link(name: str, value: str) -> bool:
    """Tell whether a variable describes a service, in the form of Kubernetes and Docker, and is no setting."""
    if _LINK.fullmatch(name):
        return True
    return bool(_LINK_PORT.fullmatch(name) and _LINK_ADDRESS.fullmatch(value))


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sentences about variables that are no settings: mistakes, for they nearly are, and what is only mentioned."""

    mistakes: list[str]
    said: list[str]


def check_environment(environment: Mapping[str, str], settings: Set[str]) -> Unknown:
    """Look through the variables that begin as ours do.

    Args:
        environment: every variable.
        settings: the names of ours.
    """
    mistakes: list[str] = []
    said: list[str] = []
    links: list[str] = []
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        if is_service_link(name, environment[name]):
            links.append(name)
        elif name not in settings:
            rest = [setting.removeprefix(PREFIX) for setting in sorted(settings)]
            near = get_close_matches(name.removeprefix(PREFIX), rest, n=1, cutoff=_NEAR)
            if near:
                mistakes.append(f"{name} is no setting. Did you mean {PREFIX}{near[0]}? If not, unset it.")
                continue
            said.append(f"{name} in the environment is no setting and is ignored.")
    if links:
        said.append(
            f"{', '.join(links)} in the environment describe a service named gigastt and are ignored; in Kubernetes, "
            "`enableServiceLinks: false` in the pod's specification keeps them out."
        )
    return Unknown(mistakes, said)
