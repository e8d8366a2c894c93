"""Tests of app.discovery.folders.tars: samples from any offset on, and what a damaged tar still gives."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

import errors
from app.discovery.folders import tars
from app.discovery.folders.place import Place
from tests.discovery.folders.trees import img2dataset_row, img2dataset_shard, jpeg, tar

LONG = f"{'x' * 150}/{'y' * 150}.jpg"


def read(path: Path, offset: int = 0) -> list[tars.Sample]:
    """The samples of a tar."""
    with path.open("rb") as file:
        return list(tars.samples(file, offset))


def names(samples: list[tars.Sample]) -> list[str]:
    """The images of samples."""
    return [name for sample in samples for name, _ in sample.images]


def test_members_with_one_key_are_one_sample(tmp_path: Path) -> None:
    """As img2dataset writes them: the json with its caption, the txt."""
    found = read(img2dataset_shard(tmp_path / "0.tar", range(3)))
    assert names(found) == ["000000000.jpg", "000000001.jpg", "000000002.jpg"]
    assert found[1].row() == img2dataset_row(1)
    assert not any(sample.problem for sample in found)


def test_samples_are_read_from_the_end_of_any(tmp_path: Path) -> None:
    """Long names, which have headers of their own, included; GNU's and those of POSIX."""
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{kind}.tar"
        with tarfile.open(path, "w", format=kind) as file:
            for number in range(4):
                for suffix, body in ((".jpg", jpeg(number)), (".txt", b"words")):
                    info = tarfile.TarInfo(f"{number}{LONG}"[:-4] + suffix)
                    info.size = len(body)
                    file.addfile(info, io.BytesIO(body))
        found = read(path)
        assert len(found) == 4
        for at, sample in enumerate(found):
            assert names(read(path, sample.end)) == names(found[at + 1 :])


def test_every_member_is_read_by_its_offset(tmp_path: Path) -> None:
    """In any order."""
    path = img2dataset_shard(tmp_path / "0.tar", range(5))
    with path.open("rb") as file:
        for number, sample in reversed(list(enumerate(tars.samples(file)))):
            (name, offset), *_ = sample.images
            assert tars.read_member(file, Place(str(path), member=name, offset=offset), 1_000) == jpeg(number)


def test_text_describes_an_image_in_each_of_its_forms(tmp_path: Path) -> None:
    """The json's own caption wins; a json that is none is no loss of the image."""
    members = [("1.jpg", jpeg(1)), ("1.caption", b"a"), ("2.jpg", jpeg(2)), ("2.json", b'{"caption": "b"}'), ("2.txt", b"c")]
    members += [("3.jpg", jpeg(3)), ("3.json", b"{broken"), ("3.txt", b" d \n"), ("4.jpg", jpeg(4)), ("4.json", b"[1]")]
    found = read(tar(tmp_path / "0.tar", members))
    assert [sample.row() for sample in found] == [{"caption": "a"}, {"caption": "b"}, {"caption": "d"}, {}]


def test_a_mask_is_left_out_and_an_only_image_is_not(tmp_path: Path) -> None:
    """Names with dots are common; what is beside an image under its key is not an image of its own."""
    members = [("1.jpg", jpeg(1)), ("1.mask.png", b"x"), ("1.npy", b"x"), ("img.v2.jpg", jpeg(2)), ("2.jpg", jpeg(3)), ("2.png", jpeg(4))]
    found = read(tar(tmp_path / "0.tar", members))
    assert names(found) == ["1.jpg", "img.v2.jpg", "2.jpg", "2.png"]
    assert [sample.left_out for sample in found] == [["npy", "mask.png"], [], []]


def test_folders_and_hidden_members_are_passed_over(tmp_path: Path) -> None:
    """What macOS adds to a tar is no image."""
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as file:
        folder = tarfile.TarInfo("cat")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        for name in ("cat/._1.jpg", "cat/1.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 4
            file.addfile(info, io.BytesIO(b"\xff\xd8\xff\xe0"))
    assert names(read(path)) == ["cat/1.jpg"]


def test_a_large_text_is_not_read(tmp_path: Path) -> None:
    """It describes no image, and would fill the memory."""
    members = [("1.jpg", jpeg(1)), ("1.json", json.dumps({"caption": "x" * tars.MAX_TEXT_BYTES}).encode())]
    (sample,) = read(tar(tmp_path / "0.tar", members))
    assert (sample.row(), sample.left_out) == ({}, ["json"])


@pytest.mark.parametrize(
    ("damage", "images", "words"),
    [
        (lambda body: body[:4_000], 2, "is cut off inside 000000001.jpg"),
        (lambda body: body[:3_072], 1, "is cut off: it has no end"),
        (lambda body: body[:3_100], 1, "is damaged behind 000000000.txt"),
        (lambda body: body[:3_072] + b"\x01" * 512 + body[3_584:], 1, "is damaged behind 000000000.txt"),
        (lambda body: b"no tar" * 200, 0, "is no tar, or a damaged one"),
        (lambda body: b"", 0, "is no tar, or a damaged one"),
    ],
)
def test_what_is_whole_of_a_damaged_tar_is_read(tmp_path: Path, damage: object, images: int, words: str) -> None:
    """And the rest is named. `tarfile` itself takes a broken header in the middle for the end."""
    path = img2dataset_shard(tmp_path / "0.tar", range(3))
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    found = read(path)
    assert len(names(found)) == images
    assert found[-1].problem.startswith(words)


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header as GNU writes it, whatever its size says."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[:100], block[124:136], block[156:157], block[148:156] = name.ljust(100, b"\0"), size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def attributes(**values: str) -> bytes:
    """The attributes of the member that follows, as POSIX writes them."""
    member = tarfile.TarInfo("x")
    member.pax_headers = values
    return member.tobuf(tarfile.PAX_FORMAT)[:-512]


PLAIN = header(b"1.jpg", b"00000001000\0") + bytes(512)


@pytest.mark.parametrize(
    "hostile",
    [
        header(b"2.jpg", b"\xff" * 10 + b"\xfe\x00"),
        header(b"2.jpg", b"\xff" * 10 + b"\xfc\x00"),
        attributes(size="-1024") + header(b"2.jpg", b"00000001000\0"),
        (header(b"././@LongLink", b"00000000005\0", b"L") + bytes(512)) * 2_000,
        header(b"x", b"\x80\0\0\0" + b"\x7f" * 8, b"x"),
        attributes(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}) + header(b"2.jpg", b"00000001000\0"),
        attributes(**{"GNU.sparse.map": "a,b", "GNU.sparse.size": "4"}) + header(b"2.jpg", b"00000001000\0"),
    ],
    ids=["to itself", "to the one before", "back by attributes", "names of names", "endless attributes", "sparse", "sparse map"],
)
def test_a_hostile_header_ends_the_tar(tmp_path: Path, hostile: bytes) -> None:
    """`tarfile` would read it for ever, fill the memory, or raise what it does not document."""
    path = tmp_path / "0.tar"
    path.write_bytes(PLAIN + hostile + bytes(4_096))
    found = read(path)
    assert names(found) == ["1.jpg"]
    assert found[-1].problem.startswith("is damaged behind 1.jpg")
    with path.open("rb") as file, pytest.raises(errors.UnreadableError, match="no member of a tar"):
        tars.read_member(file, Place(str(path), member="2.jpg", offset=len(PLAIN)), 1_000)
    path.write_bytes(hostile + bytes(4_096))
    assert names(read(path)) == []


def test_a_tar_that_was_changed_gives_no_other_image(tmp_path: Path) -> None:
    """A member that is another one, larger than permitted, cut off, or not there is an error of that image."""
    path = img2dataset_shard(tmp_path / "0.tar", range(2))
    place = Place(str(path), member="000000000.jpg", offset=0)
    with path.open("rb") as file:
        with pytest.raises(errors.UnreadableError, match="another member"):
            tars.read_member(file, Place(str(path), member="7.jpg", offset=0), 1_000)
        with pytest.raises(errors.TooLargeError, match="11 bytes, more than 10"):
            tars.read_member(file, place, 10)
        with pytest.raises(errors.UnreadableError, match="no member of a tar"):
            tars.read_member(file, Place(str(path), member="1.jpg", offset=512), 1_000)
        with pytest.raises(errors.UnreadableError, match="no member of a tar"):
            tars.read_member(file, Place(str(path), member="1.jpg", offset=1 << 30), 1_000)
    path.write_bytes(path.read_bytes()[:515])
    with path.open("rb") as file, pytest.raises(errors.UnreadableError, match="cut off after 3 of its 11 bytes"):
        tars.read_member(file, place, 1_000)
    path.write_bytes(b"")
    with path.open("rb") as file, pytest.raises(errors.UnreadableError, match="no member of a tar"):
        tars.read_member(file, place, 1_000)


@pytest.mark.parametrize(
    ("text", "classes", "name"),
    [
        (b"1", ["cat", "dog"], "dog"),
        (b" 0\n", ["cat"], "cat"),
        (b"-1", ["cat"], None),
        (b"", [], None),
        (b"7", ["cat"], "7"),
        (b"owl", [], "owl"),
    ],
)
def test_a_class_is_a_number_in_the_list_beside_the_shard(text: bytes, classes: list[str], name: str | None) -> None:
    """Without the list it is the number itself."""
    assert tars.class_name(tars.Sample("1", texts={"cls": text}), classes) == name


@pytest.mark.parametrize(("content", "classes"), [('["cat", "dog"]', ["cat", "dog"]), ("{}", []), ("[", []), (None, [])])
def test_the_classes_of_a_dataset_stand_beside_its_shards(tmp_path: Path, content: str | None, classes: list[str]) -> None:
    """A file that is none is not there."""
    if content is not None:
        (tmp_path / "classes.json").write_text(content)
    assert tars.read_classes(str(tmp_path / "0.tar"), str(tmp_path)) == classes


def test_classes_are_read_from_a_file_of_the_folder_only(tmp_path: Path) -> None:
    """A pipe would never end, and a link could bring in another file of this machine."""
    (tmp_path / "else.json").write_text('["secret"]')
    (tmp_path / "data").mkdir()
    classes = tmp_path / "data/classes.json"
    classes.symlink_to(tmp_path / "else.json")
    assert tars.read_classes(str(tmp_path / "data/0.tar"), str(tmp_path / "data")) == []
    classes.unlink()
    os.mkfifo(classes)
    assert tars.read_classes(str(tmp_path / "data/0.tar"), str(tmp_path / "data")) == []
