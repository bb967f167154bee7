"""The media store: whole objects or none, safe keys, typed errors; in a directory, in memory, on a driver."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigError, MediaUnavailable
from router.media import CHUNK, KEY, MediaStore, clip_key, photograph_key, preview_key

BINARY = "application/octet-stream"


class DriverError(Exception):
    """An error as object store drivers have them: no OSError."""


class Bucket(MemoryFileSystem):
    """A driver that can break, and that remembers what it was told."""

    protocol: ClassVar[str] = "s3"  # type: ignore[misc]
    cachable: ClassVar[bool] = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    told: ClassVar[list[dict[str, Any]]] = []
    broken: ClassVar[bool] = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if type(self).broken:
            raise DriverError("no credentials")
        type(self).told.append(kwargs)
        super().pipe_file(path, value, mode=mode)

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        if type(self).broken:
            raise DriverError("no credentials")
        type(self).told.append(kwargs)
        super().put_file(lpath, rpath)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        if type(self).broken:
            raise DriverError("no credentials")
        return bytes(super().cat_file(path, start=start, end=end, **kwargs))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    monkeypatch.setattr(Bucket, "store", {})
    monkeypatch.setattr(Bucket, "pseudo_dirs", [""])
    monkeypatch.setattr(Bucket, "told", [])
    monkeypatch.setattr(Bucket, "broken", False)
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", Bucket)
    return MediaStore("s3://media/prefix")


@pytest.fixture
def directory(tmp_path: Path) -> MediaStore:
    return MediaStore((tmp_path / "media").as_uri())


@pytest.fixture(params=["directory", "path", "memory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    if request.param == "memory":
        return MediaStore(f"memory://{uuid.uuid4().hex}")
    if request.param == "path":
        return MediaStore(str(tmp_path / "plain"))
    made: MediaStore = request.getfixturevalue(request.param)
    return made


# --- every store --------------------------------------------------------------------------------------------


def test_bytes_come_back(store: MediaStore) -> None:
    content = os.urandom(5000)
    put = store.put_bytes("clips/vid_1/1/video", content, "video/mp4")
    assert (put.key, put.bytes, put.content_type) == ("clips/vid_1/1/video", 5000, "video/mp4")
    assert put.sha256 == hashlib.sha256(content).hexdigest()
    assert store.read(put.key) == content
    assert store.stat(put.key).size == 5000
    assert store.exists(put.key)
    with store.open(put.key) as opened:
        opened.seek(4000)
        assert opened.read() == content[4000:]


def test_files_come_back(store: MediaStore, tmp_path: Path) -> None:
    content = os.urandom(2 * CHUNK + 77)
    (tmp_path / "clip.mp4").write_bytes(content)
    put = store.put_file("clips/vid_1/1/video", tmp_path / "clip.mp4", "video/mp4")
    assert (put.bytes, put.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert store.read(put.key) == content
    assert (tmp_path / "clip.mp4").exists()


def test_putting_again_replaces(store: MediaStore) -> None:
    store.put_bytes("a/b", b"first, and longer", BINARY)
    store.put_bytes("a/b", b"second", BINARY)
    assert store.read("a/b") == b"second"


def test_an_empty_object_is_an_object(store: MediaStore) -> None:
    store.put_bytes("empty", b"", BINARY)
    assert store.exists("empty")
    assert store.read("empty") == b""
    assert list(store.stream("empty")) == []


@pytest.mark.parametrize(
    ("start", "end", "chunk"),
    [(0, None, 7), (0, 100, 7), (3, 20, 5), (99, None, 50), (10, 10, 4), (50, 999, 64)],
)
def test_streams_are_slices(store: MediaStore, start: int, end: int | None, chunk: int) -> None:
    content = bytes(range(100))
    store.put_bytes("k", content, BINARY)
    pieces = list(store.stream("k", start, end, chunk))
    assert b"".join(pieces) == content[start:end]
    assert all(len(piece) <= chunk for piece in pieces)


def test_what_is_not_there_is_told(store: MediaStore) -> None:
    store.put_bytes("clips/vid_1/1/video", b"x", BINARY)
    for key in ("clips/vid_1/1/thumbnail", "clips/vid_1", "nothing"):
        assert not store.exists(key)
        with pytest.raises(MediaUnavailable, match=key):
            store.stat(key)
    for read in (store.read, lambda key: store.open(key).close(), lambda key: list(store.stream(key))):
        with pytest.raises(MediaUnavailable):
            read("nothing")  # type: ignore[operator]


def test_deleting(store: MediaStore) -> None:
    for name in ("a/1", "a/2", "b/1"):
        store.put_bytes(name, b"x", BINARY)
    store.delete(["a/1", "never/was"])
    assert [store.exists(name) for name in ("a/1", "a/2", "b/1")] == [False, True, True]
    store.delete(["a/1"])


def test_deleting_a_prefix_takes_whole_parts(store: MediaStore) -> None:
    for name in ("clips/vid_1/1/video", "clips/vid_1/2/video", "clips/vid_10/1/video"):
        store.put_bytes(name, b"x", BINARY)
    store.delete_prefix("clips/vid_1/")
    assert not store.exists("clips/vid_1/1/video")
    assert not store.exists("clips/vid_1/2/video")
    assert store.exists("clips/vid_10/1/video")
    store.delete_prefix("clips/vid_1")


def test_ping_leaves_nothing(store: MediaStore) -> None:
    store.ping()
    listed = store._fs.find(store._root) if store._fs.exists(store._root) else []
    assert listed == []


BAD_KEYS = [
    *("", "/", "/etc/passwd", "../x", "a/../b", "a/..", "a//b", "a/", ".hidden", "a/.b", "A/b", "a b"),
    *("a\\b", "a\0b", "\u00e9", "a~b", "a\n", "https://x", "x" * 513),
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_other_keys_are_refused_everywhere(store: MediaStore, tmp_path: Path, key: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for act in (
        lambda: store.put_bytes(key, b"x", BINARY),
        lambda: store.put_file(key, source, BINARY),
        lambda: store.read(key),
        lambda: store.open(key),
        lambda: store.stream(key),
        lambda: store.stat(key),
        lambda: store.exists(key),
        lambda: store.delete([key]),
    ):
        with pytest.raises(ValueError, match="not a media key"):
            act()


@given(st.text(max_size=60))
def test_an_accepted_key_stays_below_the_root(key: str) -> None:
    if KEY.fullmatch(key):
        assert os.path.normpath(f"/store/{key}") == f"/store/{key}"


def test_keys_of_the_product_are_keys() -> None:
    for key in (photograph_key("a1b2"), clip_key("vid_01ab", 12, "video"), preview_key("vid_01ab", 1)):
        assert KEY.fullmatch(key)
    assert clip_key("vid_1", 1, "video") != clip_key("vid_1", 2, "video")


def test_the_store_travels_as_its_url(directory: MediaStore) -> None:
    directory.put_bytes("a", b"x", BINARY)
    again = pickle.loads(pickle.dumps(directory))
    assert again.url == directory.url
    assert again.read("a") == b"x"


# --- directories --------------------------------------------------------------------------------------------


def files_under(store: MediaStore) -> list[str]:
    root = Path(store._root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MediaStore]:
    """A store on a full disk: a tiny tmpfs where the tests may mount one, else a sync that reports it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False, capture_output=True
        ).returncode
        == 0
    )
    if not mounted:

        def fsync(_fd: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fsync)
    yield MediaStore(disk.as_uri())
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_and_leaves_nothing(full: MediaStore, tmp_path: Path) -> None:
    with pytest.raises(MediaUnavailable, match="No space left on device") as caught:
        full.put_bytes("clips/vid_1/1/video", bytes(4 * CHUNK), "video/mp4")
    assert isinstance(caught.value.__cause__, OSError)
    source = tmp_path / "clip.mp4"
    source.write_bytes(bytes(4 * CHUNK))
    with pytest.raises(MediaUnavailable, match="No space left on device"):
        full.put_file("clips/vid_1/1/video", source, "video/mp4")
    assert not full.exists("clips/vid_1/1/video")
    assert files_under(full) == []


def test_a_failed_write_keeps_the_old_object(directory: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.put_bytes("a", b"old", BINARY)

    def fsync(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(MediaUnavailable, match="Input/output error"):
        directory.put_bytes("a", b"new", BINARY)
    assert directory.read("a") == b"old"
    assert files_under(directory) == ["a"]


def test_a_missing_source_is_told(directory: MediaStore, tmp_path: Path) -> None:
    with pytest.raises(MediaUnavailable, match="No such file"):
        directory.put_file("a", tmp_path / "missing.mp4", "video/mp4")
    assert not directory.exists("a")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"in the way")
    store = MediaStore((tmp_path / "media").as_uri())
    with pytest.raises(MediaUnavailable):
        store.put_bytes("a/b", b"x", BINARY)
    with pytest.raises(MediaUnavailable):
        store.ping()


def test_deleting_prunes_empty_folders(directory: MediaStore) -> None:
    directory.put_bytes("clips/vid_1/1/video", b"x", BINARY)
    directory.put_bytes("clips/vid_2/1/video", b"x", BINARY)
    directory.delete(["clips/vid_1/1/video"])
    root = Path(directory._root)
    assert sorted(path.name for path in (root / "clips").iterdir()) == ["vid_2"]
    directory.delete_prefix("clips/vid_2")
    assert root.exists()
    assert list(root.iterdir()) == []


def test_writes_and_deletes_beside_each_other(directory: MediaStore) -> None:
    """A delete that prunes a folder may meet a write into the same folder: the write wins."""
    start = threading.Barrier(4)

    def work(index: int) -> None:
        key = f"shared/folder/{index}"
        start.wait()
        for step in range(60):
            directory.put_bytes(key, str(step).encode(), BINARY)
            assert directory.read(key) == str(step).encode()
            directory.delete([key])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert files_under(directory) == []


def test_readers_never_see_half_an_object(directory: MediaStore) -> None:
    versions = [bytes([value]) * (CHUNK // 2) for value in range(8)]
    directory.put_bytes("a", versions[0], BINARY)
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(directory.read("a"))

    reader = threading.Thread(target=read)
    reader.start()
    for content in versions * 3:
        directory.put_bytes("a", content, BINARY)
    done.set()
    reader.join()
    assert seen
    assert seen <= set(versions)


def test_a_killed_writer_leaves_no_object(directory: MediaStore) -> None:
    """SIGKILL in the middle of a write: the key still has the old object, whole."""
    directory.put_bytes("clips/a", b"old", BINARY)
    script = textwrap.dedent(
        f"""
        import os, sys
        from router.media import MediaStore
        def fsync(fd):
            print("half", flush=True)
            sys.stdin.read()
        os.fsync = fsync
        MediaStore({directory.url!r}).put_bytes("clips/a", b"new" * 1000000, "video/mp4")
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert directory.read("clips/a") == b"old"
    left = [name for name in files_under(directory) if name != "clips/a"]
    assert len(left) == 1
    assert not KEY.fullmatch(left[0])


# --- object stores ------------------------------------------------------------------------------------------


def test_object_stores_are_told_the_content_type(bucket: MediaStore, tmp_path: Path) -> None:
    bucket.put_bytes("a", b"x", "image/webp")
    (tmp_path / "b").write_bytes(b"y")
    bucket.put_file("b", tmp_path / "b", "video/mp4")
    assert Bucket.told == [{"ContentType": "image/webp"}, {"ContentType": "video/mp4"}]
    assert sorted(Bucket.store) == ["/media/prefix/a", "/media/prefix/b"]


def test_errors_of_a_driver_are_ours(
    bucket: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "broken", True)
    (tmp_path / "b").write_bytes(b"y")
    for act in (
        lambda: bucket.put_bytes("a", b"x", BINARY),
        lambda: bucket.put_file("a", tmp_path / "b", BINARY),
        lambda: bucket.read("a"),
        bucket.ping,
    ):
        with pytest.raises(MediaUnavailable, match="DriverError") as caught:
            act()
        assert isinstance(caught.value.__cause__, DriverError)


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "https+ftp://x"])
def test_unknown_protocols_are_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="I2V_MEDIA_URL") as caught:
        MediaStore(url)
    assert caught.value.param == "I2V_MEDIA_URL"


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def url_to_fs(_url: str, **_options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", url_to_fs)
    with pytest.raises(ConfigError, match=r"i2v-router\[s3\]"):
        MediaStore("s3://bucket/x")
