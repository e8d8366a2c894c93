"""``pictrawl workspace``, ``jobs rm`` and ``datasets rm``: disk that is taken, and given back."""

from pathlib import Path

from tests.cli.conftest import LOOPBACK, Hold, Invoke, Result, Site


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
    assert "freed: 0 images, 0 exports and lists" in invoke("workspace", "prune", "--yes").out
    removed = invoke("datasets", "rm", "list", "--yes")
    assert removed.code == 0, removed.err
    assert invoke("jobs", "ls", "--json").json["items"] == []
    assert invoke("images", "ls", "--json").json["items"] == []
    unused = invoke("workspace", "du", "--json").json["unused"]
    assert unused["objects"] > 5
    assert "nothing refers to: pictrawl workspace prune" in invoke("workspace", "du").out
    freed = invoke("workspace", "prune", "--yes", "--json").json
    assert freed["size_bytes"] >= unused["size_bytes"] > 0
    assert folder_bytes(Path(".pictrawl")) < 500_000, "an empty database, and nothing else"
    assert invoke("workspace", "du", "--json").json["objects"] == {}
    assert {path: path.read_bytes() for path in Path("datasets").rglob("*") if path.is_file()} == delivered


def test_what_would_go_is_shown_first(mixed: Result, invoke: Invoke) -> None:
    """Without --yes nothing is removed, and the command that does it is named."""
    shown = invoke("datasets", "rm", "list")
    assert shown.code == 0
    assert "would go: 9 rows, 1 export, " in shown.out
    assert "--yes removes it" in shown.out
    document = invoke("datasets", "rm", "list", "--json").json
    assert (document["removed"], document["shared_bytes"]) == (False, 0)
    assert document["own_bytes"] == document["size_bytes"] > 0
    assert invoke("workspace", "prune").out.strip() == "would free 0 B of 0 objects that nothing refers to"
    assert invoke("datasets", "rm", "list", "--yes").code == 0
    plan = invoke("workspace", "prune", "--json").json
    assert plan["removed"] is False
    assert plan["objects"] > 5
    assert "pictrawl workspace prune --yes does it" in invoke("workspace", "prune").out
    assert invoke("workspace", "prune", "--json").json == plan


def test_bytes_that_two_datasets_share_stay(mixed: Result, invoke: Invoke, mixed_site: Site) -> None:
    """They are counted apart before a removal, and are there after it."""
    again = invoke("build", "--urls", mixed_site.write_list(Path("list.txt")), "--name", "again", "-o", "again", *LOOPBACK)
    assert again.code == 0, again.err
    shown = invoke("datasets", "rm", "again", "--json").json
    assert shown["shared_bytes"] == shown["size_bytes"] > 0
    assert "more stay, since other datasets need them" in invoke("datasets", "rm", "again").out
    assert invoke("datasets", "rm", "again", "--yes").code == 0
    assert invoke("workspace", "prune", "--yes", "--json").json["blobs"] == 0
    assert invoke("datasets", "verify", "list").code == 0


def test_logs_of_jobs_that_ended_are_removed_when_asked(mixed: Result, invoke: Invoke) -> None:
    """Young ones stay; a number that is none is refused."""
    assert invoke("jobs", "logs", mixed.json["job_id"]).out
    assert invoke("workspace", "prune", "--log-days", "1", "--json").json["log_lines"] == 0
    plan = invoke("workspace", "prune", "--log-days", "0")
    assert "lines of job logs" in plan.out
    assert "pictrawl workspace prune --log-days 0 --yes does it" in plan.out
    assert invoke("workspace", "prune", "--log-days", "0", "--yes", "--json").json["log_lines"] > 5
    assert invoke("jobs", "logs", mixed.json["job_id"]).out == ""
    assert invoke("workspace", "prune", "--log-days", "-1").code == 2
    assert invoke("workspace", "prune", "--keep-versions", "0").code == 2


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
        refused = invoke(*(("jobs", "rm", job_id) if group == "jobs" else ("datasets", "rm", "list", "--yes")))
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
    assert invoke("datasets", "rm", "list", "--yes").code == 0
    other = hold("serve")
    pruned = invoke("workspace", "prune", "--yes", "--json")
    assert (pruned.code, pruned.json["blobs"]) == (0, 0)
    assert "only what is older than a day was removed" in pruned.err
    other.release()
    assert invoke("workspace", "prune", "--yes", "--json").json["blobs"] > 0


def test_thumbnails_are_removed_when_asked(mixed: Result, invoke: Invoke) -> None:
    """Those above the bound go with any prune; the images stay."""
    thumbs = invoke("workspace", "du", "--json").json["objects"]["thumbs"]
    assert invoke("workspace", "prune", "--json").json["thumbnails"] == 0
    plan = invoke("workspace", "prune", "--thumbnails")
    assert f"would remove {thumbs} thumbnails, " in plan.out
    assert "pictrawl workspace prune --thumbnails --yes does it" in plan.out
    assert invoke("workspace", "prune", "--set", "storage.thumbnail_bytes=1", "--json").json["thumbnails"] == thumbs
    done = invoke("workspace", "prune", "--thumbnails", "--yes", "--json").json
    assert (done["thumbnails"], done["blobs"]) == (thumbs, 0)
    assert "thumbs" not in invoke("workspace", "du", "--json").json["objects"]
    assert invoke("datasets", "verify", "list").code == 0
