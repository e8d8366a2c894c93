"""``pictrawl workspace``, ``jobs rm`` and ``datasets rm``: disk that is taken, and given back."""

from pathlib import Path

from tests.cli.conftest import Hold, Invoke, Result, Site


def folder_bytes(folder: Path) -> int:
    """Bytes of all files of a workspace, but the lock and the journal's index."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def test_du_counts_what_is_there(mixed: Result, invoke: Invoke) -> None:
    """The parts make the whole, and the whole is what the files take."""
    shown = invoke("workspace", "du", "--json").json
    assert shown["total_bytes"] == sum(shown["size_bytes"].values())
    assert shown["unused"] == {"size_bytes": 0, "objects": 0}
    assert shown["objects"]["blobs"] >= mixed.json["funnel"]["kept"]
    assert abs(shown["total_bytes"] - folder_bytes(Path(".pictrawl"))) < 100_000
    text = invoke("workspace", "du").out
    assert "images as they came" in text
    assert "in all" in text.splitlines()[-1]
    assert "nothing refers to" not in text


def test_a_removed_dataset_gives_its_disk_back(mixed: Result, invoke: Invoke) -> None:
    """Rows at once, bytes with prune; the delivered folder stays whole."""
    delivered = {path: path.read_bytes() for path in Path("datasets").rglob("*") if path.is_file()}
    assert "freed: 0 images, 0 exports and lists" in invoke("workspace", "prune").out
    removed = invoke("datasets", "rm", "list")
    assert removed.code == 0, removed.err
    assert invoke("jobs", "ls", "--json").json["items"] == []
    assert invoke("images", "ls", "--json").json["items"] == []
    unused = invoke("workspace", "du", "--json").json["unused"]
    assert unused["objects"] > 5
    assert "nothing refers to: pictrawl workspace prune" in invoke("workspace", "du").out
    freed = invoke("workspace", "prune", "--json").json
    assert freed["size_bytes"] >= unused["size_bytes"] > 0
    assert folder_bytes(Path(".pictrawl")) < 400_000, "an empty database, and nothing else"
    assert invoke("workspace", "du", "--json").json["objects"] == {}
    assert {path: path.read_bytes() for path in Path("datasets").rglob("*") if path.is_file()} == delivered


def test_a_removed_job_takes_its_dataset_only_where_it_was_the_last(mixed: Result, invoke: Invoke) -> None:
    """An export is a job of its own on the same dataset."""
    assert invoke("datasets", "export", "list", "-o", "wds", "-f", "webdataset").code == 0
    export, build = [job["id"] for job in invoke("jobs", "ls", "--json").json["items"]]
    assert build == mixed.json["job_id"]
    assert invoke("jobs", "rm", export).code == 0
    assert len(invoke("datasets", "ls", "--json").json["items"]) == 1
    assert invoke("images", "ls", "-q").out
    assert invoke("jobs", "rm", build[:-1]).code == 0
    assert invoke("datasets", "ls", "--json").json["items"] == []
    gone = invoke("jobs", "rm", build)
    assert (gone.code, "pictrawl jobs ls" in gone.err) == (2, True)


def test_a_job_that_has_not_ended_is_not_removed(site: Site, invoke: Invoke) -> None:
    """The message says what to do first."""
    site.add("/a.jpg")
    path = site.write_list(Path("list.txt"))
    job_id = invoke("build", "--urls", path, "--detach", "--json").json["job_id"]
    for group in ("jobs", "datasets"):
        refused = invoke(group, "rm", job_id if group == "jobs" else "list")
        assert refused.code == 2
        assert "cancel it, or wait for its end" in refused.err + refused.out
    assert invoke("jobs", "cancel", job_id).code == 0
    assert invoke("jobs", "rm", job_id).code == 0


def test_a_workspace_is_not_made_to_be_measured(invoke: Invoke) -> None:
    """Exit code 2, and no folder."""
    for command in ("du", "prune"):
        assert invoke("workspace", command).code == 2
    assert list(Path.cwd().iterdir()) == []


def test_prune_beside_a_process_that_works_spares_what_is_young(mixed: Result, invoke: Invoke, hold: Hold) -> None:
    """That process may be about to refer to it."""
    assert invoke("datasets", "rm", "list").code == 0
    other = hold("serve")
    pruned = invoke("workspace", "prune", "--json")
    assert (pruned.code, pruned.json["blobs"]) == (0, 0)
    assert "only what is older than a day was removed" in pruned.err
    other.release()
    assert invoke("workspace", "prune", "--json").json["blobs"] > 0
