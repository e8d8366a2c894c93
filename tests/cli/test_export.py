"""``pictrawl datasets export|verify``."""

from pathlib import Path

from tests.cli.conftest import Invoke, Result


def test_datasets_are_exported_and_verified(mixed: Result, invoke: Invoke) -> None:
    """Another format from the same images; read back from the store and from the folder."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    exported = invoke("datasets", "export", dataset, "-f", "webdataset", "-o", "wds", "--json")
    assert exported.code == 0, exported.err
    assert exported.json["samples"] == 3
    assert list(Path("wds").glob("*.tar"))
    assert invoke("datasets", "export", dataset, "-o", "wds").code == 2
    assert "verified" in invoke("datasets", "export", dataset, "-o", "wds", "--overwrite").out
    verified = invoke("datasets", "verify", dataset, "--json")
    assert (verified.code, verified.json["problems"]) == (0, [])
    assert verified.json["objects"] == 3
    assert invoke("datasets", "verify", "wds").out.endswith("nothing differs\n")


def test_verify_finds_damage_in_a_folder(mixed: Result, invoke: Invoke) -> None:
    """A changed, a missing and a foreign file: exit code 7, each named."""
    folder = Path("datasets/list")
    first, second, *_ = sorted(folder.rglob("*.jpg"))
    damaged = first.read_bytes()[:-1] + b"x"
    first.unlink()  # it is a hard link to the store's
    first.write_bytes(damaged)
    second.unlink()
    (folder / "notes.txt").write_text("mine")
    found = invoke("datasets", "verify", folder)
    assert found.code == 7
    assert "3 problems" in found.out
    for words in ("its bytes differ", "missing", "notes.txt: not of this dataset"):
        assert words in found.out
    assert invoke("datasets", "verify", "datasets").code == 2


def test_verify_finds_damage_in_the_store(mixed: Result, invoke: Invoke) -> None:
    """An object that is gone: exit code 7."""
    sha256 = invoke("images", "ls", "--state", "kept", "--json").json["items"][0]["sha256"]
    Path(f".pictrawl/store/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}").unlink()
    found = invoke("datasets", "verify", invoke("datasets", "ls", "-q").out.strip(), "--json")
    assert found.code == 7
    assert any("missing" in problem for problem in found.json["problems"])
