"""List public names that mean two things: `python -m tools.names [PACKAGE]`.

A name that two modules of the package define (class, function, constant or type alias) makes a reader ask which one is
meant. Exits with 1 when there is one.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ALLOWED = {
    "main": "the body of a program",
    "log": "each module's logger",
}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield the public names that a module defines at its top level."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def find_twins(package: Path) -> dict[str, list[str]]:
    """Return each public name that more than one module defines, with those modules."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for name in public_names(ast.parse(path.read_text(encoding="utf-8"))):
            if not name.startswith("_") and name not in ALLOWED:
                places[name].append(str(path.relative_to(package.parent)))
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def main(arguments: list[str]) -> int:
    """Print the twins; return the exit code."""
    twins = find_twins(Path(arguments[0] if arguments else "gigastt"))
    for name, paths in twins.items():
        print(f"{name}: {', '.join(paths)}")
    return 1 if twins else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
