"""Downloading against a stand-in of the hub: what arrives, what is kept, what is never made loadable."""

from __future__ import annotations

import hashlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from gigastt.config import DEFAULT_MODEL, Precision
from gigastt.errors import DownloadFailed, ModelInvalid, NotEnoughRoom
from gigastt.models.catalog import DECODER, ENCODER_FP32, ENCODER_INT8, ENCODER_OPTIMIZED, JOINT, VOCABULARY, FileNames
from gigastt.models.disk import Seals
from gigastt.models.download import Downloaded, DownloadOptions, download_model
from gigastt.models.install import Preparation
from gigastt.models.room import FreeRoom
from gigastt.models.stages import DownloadProgress, Snapshot
from gigastt.models.store import resolve
from gigastt.models.transfer import Retries
from tests.fakes.hub import FakeHub, Fault, serve_hub
from tests.fakes.models import REPOSITORY, REVISION, SIZES, make_contents, make_entry
from tests.shared import do_without

pytestmark = pytest.mark.slow

ENCODER_HALVED = FileNames().halved
CONTENTS = make_contents()
ENTRY = make_entry(CONTENTS)
ONE_TRY = Retries(attempts=1, first_pause=0.0)
TWO_TRIES = Retries(attempts=2, first_pause=0.0)
FETCHED_FP32 = (ENCODER_FP32, DECODER, JOINT, VOCABULARY)


def halve(source: Path, target: Path, names: FileNames, tell: Callable[[str], None]) -> list[str]:
    """Stand for the optimiser."""
    target.write_bytes(source.read_bytes()[::2])
    return [f"{source.name} → {target.name}"]


def note(encoder: Path, names: FileNames) -> list[str]:
    """Stand for preparing load and search."""
    return [f"prepared {encoder.name}"]


PREPARATION = Preparation(halve, note)


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy, no token, and no connection kept from one test to the next."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve_hub(FakeHub(REPOSITORY, REVISION, dict(CONTENTS), small=frozenset({VOCABULARY}))) as running:
        yield running


def options(hub: FakeHub, precision: Precision = "fp32", retries: Retries = ONE_TRY) -> DownloadOptions:
    return DownloadOptions(PREPARATION, precision, mirror=hub.url, retries=retries, timeout=30.0)


def assert_no_wrong_content(model_dir: Path) -> None:
    """Nothing under a final name differs from what was published."""
    for path in (model_dir / DEFAULT_MODEL).glob("*"):
        if path.is_file() and path.name in CONTENTS:
            assert path.read_bytes() == CONTENTS[path.name]


def assert_heals(hub: FakeHub, model_dir: Path) -> Downloaded:
    """After a fault has gone, the next run completes the set."""
    hub.faults.clear()
    hub.standing = None
    outcome = download_model(ENTRY, model_dir, options(hub))
    folder = model_dir / DEFAULT_MODEL
    assert {name: (folder / name).read_bytes() for name in FETCHED_FP32} == {n: CONTENTS[n] for n in FETCHED_FP32}
    assert not (folder / ".partial").exists()
    return outcome


def test_stand_in_speaks_the_hubs_own_language(hub: FakeHub, tmp_path: Path) -> None:
    path = huggingface_hub.hf_hub_download(
        REPOSITORY, DECODER, revision=REVISION, endpoint=hub.url, local_dir=tmp_path, cache_dir=tmp_path
    )

    assert Path(path).read_bytes() == CONTENTS[DECODER]


@pytest.mark.parametrize(("precision", "encoder"), [("fp32", ENCODER_FP32), ("int8", ENCODER_INT8)])
def test_download_makes_a_complete_sealed_set(hub: FakeHub, tmp_path: Path, precision: Precision, encoder: str) -> None:
    outcome = download_model(ENTRY, tmp_path, options(hub, precision))

    assert outcome.files == resolve(DEFAULT_MODEL, tmp_path, precision)
    assert outcome.fetched == (encoder, DECODER, JOINT, VOCABULARY)
    for name in outcome.fetched:
        path = tmp_path / DEFAULT_MODEL / name
        seal = Seals(path.parent).get(name)
        assert path.read_bytes() == CONTENTS[name]
        assert seal is not None
        assert seal.sha256 == hashlib.sha256(CONTENTS[name]).hexdigest()
        assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
        assert not path.is_symlink()


def test_second_run_transfers_nothing(hub: FakeHub, tmp_path: Path) -> None:
    download_model(ENTRY, tmp_path, options(hub))
    hub.requests.clear()

    assert download_model(ENTRY, tmp_path, options(hub)).fetched == ()
    assert hub.requests == []


def test_only_files_are_asked_for_and_the_token_stays_with_the_hub(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    download_model(ENTRY, tmp_path, options(hub))

    assert all("/resolve/" in r.path for r in hub.requests if r.listener == "hub")
    assert {r.authorization for r in hub.requests if r.listener == "hub"} == {"Bearer hf_secret"}
    assert {r.authorization for r in hub.requests if r.listener == "content"} == {None}
    assert {r.accept_encoding for r in hub.requests} == {"identity"}


def test_hub_dying_at_twenty_offsets_costs_no_byte_twice(hub: FakeHub, tmp_path: Path) -> None:
    size = SIZES[ENCODER_FP32]
    for offset in sorted(random.Random(20).sample(range(size), 20)):
        hub.faults.append(Fault("die", at=offset))
        with pytest.raises(DownloadFailed, match="are kept"):
            download_model(ENTRY, tmp_path, options(hub))
        assert_no_wrong_content(tmp_path)
        assert not (tmp_path / DEFAULT_MODEL / ENCODER_FP32).exists()

    assert_heals(hub, tmp_path)
    assert hub.sent_bytes == sum(SIZES[name] for name in FETCHED_FP32)


def test_line_that_breaks_again_and_again_is_gone_on_with_in_one_run(hub: FakeHub, tmp_path: Path) -> None:
    offsets = sorted(random.Random(21).sample(range(SIZES[ENCODER_FP32]), 20))
    hub.faults.extend(Fault("die", at=offset) for offset in offsets)

    outcome = download_model(ENTRY, tmp_path, options(hub, retries=TWO_TRIES))

    assert outcome.fetched == FETCHED_FP32
    assert_no_wrong_content(tmp_path)
    assert [r.range for r in hub.transfers(ENCODER_FP32)] == [None, *(f"bytes={offset}-" for offset in offsets)]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("short", at=150_000), "expected a file of 400,000 bytes, but got one of 150,000"),
        (Fault("flip", at=123_456), "is not that file: expected SHA-256"),
        (Fault("html"), "answered with a web page instead of"),
        (Fault("loop"), "TooManyRedirects"),
        (Fault("status", status=503), "answered 503"),
        (Fault("status", status=403), "set HF_TOKEN"),
        (Fault("status", status=404), "no such file"),
        (Fault("status", status=410), "it answered 410"),
    ],
    ids=lambda value: value.kind + str(value.status) if isinstance(value, Fault) else "",
)
def test_nothing_wrong_gets_a_name_and_the_next_run_heals(
    hub: FakeHub, tmp_path: Path, fault: Fault, says: str
) -> None:
    hub.standing = fault

    with pytest.raises(DownloadFailed, match=says):
        download_model(ENTRY, tmp_path, options(hub, retries=TWO_TRIES))

    assert_no_wrong_content(tmp_path)
    assert_heals(hub, tmp_path)


def test_stalled_line_is_given_up_and_gone_on_with(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("stall", at=100_000))
    wanted = replace(options(hub, retries=TWO_TRIES), timeout=1.0)

    outcome = download_model(ENTRY, tmp_path, wanted)

    assert outcome.fetched == FETCHED_FP32
    assert [r.range for r in hub.transfers(ENCODER_FP32)] == [None, "bytes=100000-"]


def test_flipped_bit_is_thrown_away_and_fetched_again_in_the_same_run(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("flip", at=7))

    assert download_model(ENTRY, tmp_path, options(hub)).fetched == FETCHED_FP32
    assert [r.range for r in hub.transfers(ENCODER_FP32)] == [None, None]
    assert_no_wrong_content(tmp_path)


@pytest.mark.parametrize("kind", ["ignore_range", "wrong_range"])
def test_server_that_cannot_resume_does_not_spoil_the_file(hub: FakeHub, tmp_path: Path, kind: str) -> None:
    hub.faults.extend([Fault("die", at=200_000), Fault(kind, at=0)])  # type: ignore[arg-type]  # parametrised text

    assert download_model(ENTRY, tmp_path, options(hub, retries=Retries(3, 0.0))).fetched == FETCHED_FP32
    assert_no_wrong_content(tmp_path)


def test_part_longer_than_the_file_is_begun_anew(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault("die", at=200_000))
    with pytest.raises(DownloadFailed):
        download_model(ENTRY, tmp_path, options(hub))
    (part,) = (tmp_path / DEFAULT_MODEL / ".partial").iterdir()
    part.write_bytes(bytes(SIZES[ENCODER_FP32] + 10))

    assert_heals(hub, tmp_path)


def test_mirror_that_has_another_file_is_refused_before_the_transfer(hub: FakeHub, tmp_path: Path) -> None:
    hub.files[ENCODER_FP32] = make_contents(seed=2)[ENCODER_FP32]

    with pytest.raises(DownloadFailed, match=r"has another v3_e2e_rnnt_encoder.onnx.*Nothing was fetched"):
        download_model(ENTRY, tmp_path, options(hub))

    assert hub.transfers(ENCODER_FP32) == []


def test_file_whose_digest_nobody_tells_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.small = frozenset({VOCABULARY, ENCODER_INT8})
    hub.tells_no_digest = True

    with pytest.raises(DownloadFailed, match="does not tell the digest"):
        download_model(ENTRY, tmp_path, options(hub, "int8"))


def test_a_small_file_is_checked_by_the_digest_that_git_has_of_it(hub: FakeHub, tmp_path: Path) -> None:
    entry = replace(ENTRY, vocabulary=replace(ENTRY.vocabulary, sha256=None))
    hub.faults.append(Fault("flip", at=100))  # met by the encoder, which is fetched again
    assert VOCABULARY in download_model(entry, tmp_path, options(hub)).fetched
    hub.requests.clear()
    assert download_model(entry, tmp_path, options(hub)).fetched == ()
    (tmp_path / DEFAULT_MODEL / VOCABULARY).write_bytes(b"another")
    assert download_model(entry, tmp_path, options(hub)).fetched == (VOCABULARY,)


def test_file_whose_size_nobody_tells_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.tells_size = False

    with pytest.raises(DownloadFailed, match="does not tell the size"):
        download_model(ENTRY, tmp_path, options(hub))


def test_wrong_revision_is_answered_with_what_is_not_there(hub: FakeHub, tmp_path: Path) -> None:
    hub.revision = "f" * 40

    with pytest.raises(DownloadFailed, match=f"no such file in {REPOSITORY} at revision {REVISION}"):
        download_model(ENTRY, tmp_path, options(hub))


def test_nobody_listening_is_said_plainly(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[Snapshot] = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and never listens: nobody else gets the port meanwhile
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DownloadFailed, match=r"Cannot ask http://127\.0\.0\.1") as caught:
            download_model(ENTRY, tmp_path, replace(options(hub), mirror=url), DownloadProgress(seen.append))

    contacting = [snapshot.subject for snapshot in seen if snapshot.stage == "contacting"]
    assert contacting[0] == url  # before the first answer is waited for
    assert all("again" in subject for subject in contacting[1:])
    for way in ("--mirror", str(tmp_path / DEFAULT_MODEL), ENCODER_INT8, DECODER, JOINT, VOCABULARY):
        assert way in str(caught.value)


def test_too_little_disk_is_told_in_bytes_before_anything_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    wanted = replace(options(hub), room=FreeRoom(disk=lambda directory: 1000))

    with pytest.raises(NotEnoughRoom, match=r"67,559,364 bytes .* are needed, 1,000 bytes .* are free"):
        download_model(ENTRY, tmp_path, wanted)

    assert all(request.method == "HEAD" for request in hub.requests)


def test_disk_that_fills_up_on_the_way_is_told_in_bytes(hub: FakeHub, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        do_without("needs /dev/full, a device that is always full (Linux)")
    partial = tmp_path / DEFAULT_MODEL / ".partial"
    partial.mkdir(parents=True)
    digest = hashlib.sha256(CONTENTS[ENCODER_FP32]).hexdigest()
    full = partial / f"{ENCODER_FP32}.{digest[:16]}.part"
    full.symlink_to("/dev/full")

    with pytest.raises(NotEnoughRoom, match=r"is full: 400,000 more bytes .* are needed for v3_e2e_rnnt_encoder.onnx"):
        download_model(ENTRY, tmp_path, options(hub))

    full.unlink()
    assert_heals(hub, tmp_path)


def test_directory_that_cannot_be_made_is_said_plainly(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(DownloadFailed, match="Cannot write to"):
        download_model(ENTRY, tmp_path / "file", options(hub))


def test_files_brought_by_hand_are_copied_and_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / ENCODER_FP32).write_bytes(CONTENTS[ENCODER_FP32])
    (tmp_path / DECODER).write_bytes(b"another model's decoder")

    outcome = download_model(ENTRY, tmp_path, options(hub))

    assert outcome.files.directory == tmp_path / DEFAULT_MODEL
    assert hub.transfers(ENCODER_FP32) == []
    assert (tmp_path / DECODER).read_bytes() == b"another model's decoder"
    assert_no_wrong_content(tmp_path)


def test_damaged_file_is_refused_by_resolve_and_mended_by_download(hub: FakeHub, tmp_path: Path) -> None:
    download_model(ENTRY, tmp_path, options(hub))
    path = tmp_path / DEFAULT_MODEL / JOINT
    path.write_bytes(CONTENTS[JOINT][:-1] + b"?")
    with pytest.raises(ModelInvalid):
        resolve(DEFAULT_MODEL, tmp_path)

    assert download_model(ENTRY, tmp_path, options(hub)).fetched == (JOINT,)
    assert_no_wrong_content(tmp_path)


def test_progress_counts_every_byte_once_and_ends_done(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[Snapshot] = []
    hub.faults.extend([Fault("die", at=200_000), Fault("ignore_range")])

    download_model(ENTRY, tmp_path, options(hub, retries=TWO_TRIES), DownloadProgress(seen.append))

    total = sum(SIZES[name] for name in FETCHED_FP32)
    downloading = [s for s in seen if s.stage == "downloading"]
    assert downloading[-1].done_bytes == total == downloading[-1].total_bytes
    assert "downloading 100 %" in {s.describe() for s in downloading}
    assert seen[-1].describe() == "done"


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("precision", "encoder", "form"), [("auto", ENCODER_OPTIMIZED, "optimized"), ("fp16", ENCODER_HALVED, "fp16")]
)
def test_the_encoder_made_here_replaces_the_fp32_one_unless_it_is_kept(
    hub: FakeHub, tmp_path: Path, precision: Precision, encoder: str, form: str, keep: bool
) -> None:
    wanted = replace(options(hub, precision), keep_fp32=keep)

    outcome = download_model(ENTRY, tmp_path, wanted)

    folder = tmp_path / DEFAULT_MODEL
    assert outcome.report == (f"{ENCODER_FP32} → {encoder}", f"prepared {encoder}")
    assert outcome.files.form == form
    assert (folder / ENCODER_FP32).exists() is keep
    assert Seals(folder).state(encoder) == "good"
    assert download_model(ENTRY, tmp_path, wanted).fetched == ()


def test_optimised_encoder_needs_no_second_transfer_but_a_damaged_one_does(hub: FakeHub, tmp_path: Path) -> None:
    wanted = options(hub, "auto")
    optimized = download_model(ENTRY, tmp_path, wanted).files.encoder
    assert download_model(ENTRY, tmp_path, wanted).fetched == ()
    assert download_model(ENTRY, tmp_path, replace(wanted, keep_fp32=True)).report == (f"prepared {ENCODER_OPTIMIZED}",)

    (tmp_path / DEFAULT_MODEL / ENCODER_FP32).unlink()
    content = optimized.read_bytes()
    optimized.write_bytes(b"X" + content[1:])
    assert download_model(ENTRY, tmp_path, wanted).fetched == (ENCODER_FP32,)
    assert optimized.read_bytes() == content


def test_damaged_encoder_of_another_form_does_not_stand_in_the_way(hub: FakeHub, tmp_path: Path) -> None:
    optimized = download_model(ENTRY, tmp_path, options(hub, "auto")).files.encoder
    optimized.write_bytes(b"X" + optimized.read_bytes())

    outcome = download_model(ENTRY, tmp_path, options(hub, "int8"))

    assert outcome.files.form == "int8"
    assert not optimized.exists()


def test_room_for_the_prepacked_form_is_part_of_what_is_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    large = replace(ENTRY, encoder_int8=replace(ENTRY.encoder_int8, nominal_bytes=100 << 20))
    wanted = options(hub, "int8")
    arriving = SIZES[ENCODER_INT8] + sum(SIZES[name] for name in (DECODER, JOINT, VOCABULARY))

    with pytest.raises(NotEnoughRoom, match=f"{arriving + (200 << 20) + (64 << 20):,} bytes"):
        download_model(large, tmp_path, replace(wanted, room=FreeRoom(disk=lambda _: 200 << 20)))
    with pytest.raises(NotEnoughRoom, match=f"needs {250 << 20:,} bytes of memory"):
        download_model(large, tmp_path, replace(wanted, room=FreeRoom(memory=lambda: 200 << 20)))

    assert all(request.method == "HEAD" for request in hub.requests)


def test_fp32_encoder_brought_by_hand_is_not_removed(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / DEFAULT_MODEL
    folder.mkdir()
    (folder / ENCODER_FP32).write_bytes(CONTENTS[ENCODER_FP32])

    outcome = download_model(ENTRY, tmp_path, options(hub, "auto"))

    assert outcome.files.form == "optimized"
    assert (folder / ENCODER_FP32).read_bytes() == CONTENTS[ENCODER_FP32]


def test_too_little_memory_to_optimise_is_told_before_anything_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    wanted = replace(options(hub, "auto"), room=FreeRoom(memory=lambda: 1_000_000))

    with pytest.raises(NotEnoughRoom, match=r"needs 1,680,000 bytes of memory.*--precision int8"):
        download_model(ENTRY, tmp_path, wanted)

    assert all(request.method == "HEAD" for request in hub.requests)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
