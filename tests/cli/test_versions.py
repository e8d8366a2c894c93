"""``pictrawl update``, ``build --into``, ``datasets versions`` and ``datasets diff``."""

from pathlib import Path

from app.cli.demo.origin import reply
from tests.cli.conftest import LOOPBACK, OPEN, Invoke, Site


def build(invoke: Invoke, site: Site, number: int) -> None:
    """A dataset of a list of so many pictures."""
    Path("pets.txt").write_text("\n".join(site.urls[:number]))
    made = invoke("build", "--urls", "pets.txt", "-o", "first", *LOOPBACK)
    assert made.code == 0, made.err


def test_a_dataset_is_updated_from_its_list(gallery: Site, invoke: Invoke) -> None:
    """The list is read again where it is; an update that finds nothing says so, and exits 0."""
    build(invoke, gallery, 3)
    same = invoke("update", "pets", *OPEN, "--json")
    assert (same.code, same.json["changed"], same.json["version"]) == (0, False, "1.0.0")
    assert "not written: second; pictrawl datasets export ds_" in invoke("update", "pets", "-o", "second", *OPEN).out
    assert not Path("second").exists()
    Path("pets.txt").write_text("\n".join(gallery.urls[:5]))
    made = invoke("update", "pets", "-o", "second", *OPEN)
    assert made.code == 0, made.err
    assert Path("second/manifest.json").exists()
    assert "version    1.1.0, 2 added" in made.out
    assert "rows read 5, new URLs 2, known URLs 3" in made.out
    listed = invoke("datasets", "versions", "pets", "--json").json["items"]
    assert [(item["version"], item["kind"], item["images"]) for item in listed] == [("1.1.0", "update", 5), ("1.0.0", "build", 3)]
    assert "2 added" in invoke("datasets", "versions", "pets").out
    found = invoke("datasets", "diff", "pets@1.0.0", "pets", "--json").json
    assert (found["changes"]["added"], len(found["added"]), found["removed"]) == (2, 2, [])
    shown = invoke("datasets", "diff", "pets@1.1.0", "pets@1.0.0", "--show", "1").out
    assert "2 removed" in shown
    assert "and 1 more image" in shown
    assert "nothing differs" in invoke("datasets", "diff", "pets", "pets@1.1.0").out
    refused = invoke("datasets", "rm", "pets", "--yes")
    assert refused.code == 2
    assert "pets has 2 versions: pets@1.1.0, pets@1.0.0" in refused.err


def test_a_list_is_named_where_it_has_moved(gallery: Site, invoke: Invoke) -> None:
    """Without it the list is read as it was."""
    build(invoke, gallery, 2)
    Path("pets.txt").rename("moved.txt")
    assert "is read as it was" in invoke("update", "pets", *OPEN).err
    Path("moved.txt").write_text("\n".join(gallery.urls[:3]))
    assert invoke("update", "pets", "--input", "moved.txt", *OPEN).code == 0
    assert invoke("datasets", "versions", "pets", "-q").out.split() == ["1.1.0", "1.0.0"]
    missing = invoke("datasets", "diff", "pets@3.0.0", "pets")
    assert missing.code == 2
    assert "pets has no version 3.0.0" in missing.err


def test_an_update_says_whose_origins_did_not_answer(site: Site, invoke: Invoke, bodies: list[bytes]) -> None:
    """Nothing has changed as far as is known, which is not all."""
    site.add("/a.jpg", reply(body=bodies[0]), reply(403))
    site.add("/b.jpg", reply(body=bodies[1]))
    build(invoke, site, 2)
    same = invoke("update", "pets", *OPEN, "--json").json
    assert (same["changed"], same["not_confirmed"]) == (False, 1)
    assert "not asked: 1 image, whose origins did not answer or refused" in invoke("update", "pets", *OPEN).out


def test_images_are_built_into_a_dataset(gallery: Site, invoke: Invoke) -> None:
    """A further list makes another version of it."""
    build(invoke, gallery, 2)
    Path("more.txt").write_text("\n".join(gallery.urls[2:6]))
    made = invoke("build", "--urls", "more.txt", "--into", "pets", "-n", "3", "-o", "both", *LOOPBACK, "--json")
    assert made.code == 0, made.err
    assert invoke("datasets", "versions", "pets", "-q").out.split() == ["1.1.0", "1.0.0"]
    assert invoke("datasets", "show", "pets", "--json").json["kept"] == 5
    assert invoke("build", "--urls", "more.txt", "--into", "none", "-o", "x", *LOOPBACK).code == 2
