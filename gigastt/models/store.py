"""The model files on this machine: find a complete set, or say what is missing.

Two layouts are accepted below `--model-dir`: a folder named after the model (`gigastt download` makes it), and the
files lying there directly (as the original server left them, or a stick). A directory need not be writable.

Files that we fetched or made carry a seal (`disk`), and a start only compares size and time with it; a file that no
longer matches its seal is read again, refused if its content has changed, and else sealed anew if the directory can be
written. Files brought by hand have no seal and are taken as they are, like any program on this machine; `gigastt
doctor` reads them whole and compares them with the published digests.

Blocking file access. Imports neither onnx, onnxruntime nor huggingface_hub: the gateway starts through here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from gigastt.config import AUTO_MODEL, DEFAULT_MODEL, DEMO_MODEL, Precision
from gigastt.errors import ModelInvalid, ModelMissing
from gigastt.models.catalog import CATALOG, DEMO_TITLE, FORMS, FileNames, Form, find, names_of
from gigastt.models.disk import SEALS_FILE, Seals, sha256_of

PARTIAL_FOLDER = ".partial"
_DEMO_FOLDER = Path(__file__).parent / "demo"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One complete set of model files.

    Attributes:
        name: as in `--model`; also the id that clients see.
        title: one line for people.
        form: the form of the encoder in use.
        decoder, joint: of a transducer; None where the encoder has its head in it.
        demo: the demonstration model, which must say so wherever it appears.
        search: weights of the fast greedy search, if they lie beside the others.
        read_again: files with another size or time than when they were checked (a copied directory): they were read
            whole, and their content is right.
        sealed_again: whether the next start is spared that.
    """

    name: str
    title: str
    directory: Path
    encoder: Path
    vocabulary: Path
    form: Form
    decoder: Path | None = None
    joint: Path | None = None
    demo: bool = False
    search: Path | None = None
    read_again: tuple[str, ...] = ()
    sealed_again: bool = False

    @property
    def common(self) -> tuple[Path, ...]:
        """The files besides the encoder."""
        return tuple(path for path in (self.decoder, self.joint, self.vocabulary) if path is not None)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that the model consists of."""
        return (self.encoder, *self.common)


def resolve(model: str, model_dir: Path, precision: Precision = "auto") -> ModelFiles:
    """Return a complete set of files of a model.

    `auto` and `int8` take the optimised encoder if there is one, then the published int8 one; `auto` then
    takes the fp32 one. The demonstration model is fp32, where fp16 is wanted, too. The model `auto` is the default one
    where it is, else the demonstration model.

    Raises:
        ConfigError: no model has that name.
        ModelMissing: there is no complete set; the message says what is missing and names the ways on.
        ModelInvalid: a file that we fetched or made has changed since.
    """
    if model == AUTO_MODEL:
        try:
            return resolve(DEFAULT_MODEL, model_dir, precision)
        except ModelMissing:
            return resolve(DEMO_MODEL, model_dir)
    if model == DEMO_MODEL and precision == "fp16":
        precision = "fp32"
    title = DEMO_TITLE if model == DEMO_MODEL else find(model).title
    names = names_of(model)
    folders = (_DEMO_FOLDER,) if model == DEMO_MODEL else (model_dir / model, model_dir)
    for folder in folders:
        choice = choose_encoder(folder, names, precision)
        if choice is None or missing_files(folder, names):
            continue
        search = search_weights(folder, names)
        files = ModelFiles(
            name=model,
            title=title,
            directory=folder,
            encoder=folder / choice[0],
            decoder=folder / names.decoder if names.decoder else None,
            joint=folder / names.joint if names.joint else None,
            vocabulary=folder / names.vocabulary,
            form=choice[1],
            demo=model == DEMO_MODEL,
            search=search if search is not None and is_present(search) else None,
        )
        return _check_seals(files)
    raise ModelMissing(_explain(model, model_dir, precision, folders))


def installed(model_dir: Path) -> list[str]:
    """Return the names of the models of the catalogue that are complete in a folder, without looking into the files."""
    found = []
    for entry in CATALOG.values():
        folders, names = (model_dir / entry.name, model_dir), entry.names
        if any(_has_encoder(each, names) and not missing_files(each, names) for each in folders):
            found.append(entry.name)
    return found


def search_weights(folder: Path, names: FileNames) -> Path | None:
    """Return where the weights of the fast search lie, if they do; None for a model that has no such search."""
    return folder / f"{names.decoder.partition('_decoder')[0]}_search.npy" if names.decoder else None


def choose_encoder(folder: Path, names: FileNames, precision: Precision) -> tuple[str, Form] | None:
    """Return the best encoder of a folder for a precision, or None.

    `auto` passes over an optimised one that costs too many words where the fp32 one is here.
    """
    if precision == "auto" and is_refused(folder / names.optimized) and is_present(folder / names.encoder):
        return names.encoder, "fp32"
    for name, form in names.forms:
        if form in FORMS[precision] and is_present(folder / name):
            return name, form
    return None


def _has_encoder(folder: Path, names: FileNames) -> bool:
    return any(is_present(folder / name) for name, _ in names.forms)


def missing_files(folder: Path, names: FileNames) -> list[str]:
    """Return the files besides the encoder that a folder lacks."""
    return [name for name in names.common if not is_present(folder / name)]


def is_present(path: Path) -> bool:
    """Tell whether a file is there and has content (a full disk leaves empty ones behind)."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def is_refused(optimized: Path) -> bool:
    """Tell whether the report beside an optimised encoder says that it costs too many words."""
    try:
        return json.loads(optimized.with_suffix(".json").read_bytes()).get("is_default") is False
    except (OSError, ValueError, AttributeError):
        return False


def _check_seals(files: ModelFiles) -> ModelFiles:
    """Refuse files whose content has changed since they were sealed, and pointers in place of files; seal anew."""
    seals, stale = Seals(files.directory), dict[str, str]()
    for path in files.paths:
        seal = seals.get(path.name)
        if seal is None:
            with path.open("rb") as file:
                is_pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
            if is_pointer:
                raise ModelInvalid(f"{path} is a Git LFS pointer, not the file itself. Use `gigastt download`.")
        elif seals.state(path.name) == "stale":
            if sha256_of(path) != seal.sha256:
                raise ModelInvalid(
                    f"{path} has changed since it was fetched and checked. Fetch it again with "
                    f"`gigastt download --model {files.name} --model-dir {files.directory.parent}`; if the change is "
                    f"yours, remove {files.directory / SEALS_FILE}."
                )
            stale[path.name] = seal.sha256
    try:
        for name, sha256 in stale.items():
            seals.put(name, sha256)
    except OSError:  # the directory cannot be written
        return replace(files, read_again=tuple(stale))
    return replace(files, read_again=tuple(stale), sealed_again=bool(stale))


def _explain(model: str, model_dir: Path, precision: Precision, folders: tuple[Path, ...]) -> str:
    """Say what is missing, and name both ways on."""
    if model == DEMO_MODEL:
        if precision == "int8":
            return "The demonstration model comes in fp32 only: leave out `--precision int8`."
        return "The demonstration model is missing from this installation: install the package again."
    names = names_of(model)
    flag = "" if model == DEFAULT_MODEL else f" --model {model}"
    flag += f" --precision {precision}" if precision in ("fp32", "fp16") else ""
    ways = (
        f"Fetch them with `gigastt download --model-dir {model_dir}{flag}`, or try the small demonstration model that "
        "needs no download: `--model demo`."
    )
    for folder in folders:
        missing = missing_files(folder, names)
        encoder = choose_encoder(folder, names, precision)
        if len(missing) < len(names.common) or _has_encoder(folder, names):
            if encoder is None:
                missing.insert(0, "an encoder" if precision == "auto" else f"an encoder in {precision}")
            return f"The files of {model} in {folder} are incomplete: {', '.join(missing)} missing. {ways}"
    partial = model_dir / model / PARTIAL_FOLDER
    begun = " (a download has begun, and can go on where it stopped)" if any(partial.glob("*.part")) else ""
    return f"No files of {model} in {model_dir}{begun}. {ways}"
