"""Tests of app.storage.storage_errors: one place where foreign errors become ours."""

import errno
import pickle

import obstore.exceptions
import pytest

import errors
from app.storage import MissingObject, storage_errors
from tests.figures import Growth


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/srv/store/x"), "No space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (
            obstore.exceptions.GenericError("Unable to open file /srv/x: Too many open files (os error 24)\n\nDebug source"),
            "Too many open files",
        ),
        (
            obstore.exceptions.PermissionDeniedError("denied by https://b.example/k?sig=abc&se=1 at once\nmore"),
            r"denied by https://b\.example/k\?\.\.\. at once",
        ),
        (obstore.exceptions.GenericError(""), "GenericError"),
    ],
)
def test_foreign_errors_become_storage_errors(foreign: Exception, said: str) -> None:
    """The message names operation, key and cause, and neither a server path nor a query string."""
    for side in (storage_errors.reading, storage_errors.writing):
        with pytest.raises(errors.StorageError, match=f"^put blobs/k: {said}$") as caught, side("put", "blobs/k"):
            raise foreign
        assert caught.value.__cause__ is foreign
        assert "/srv" not in str(caught.value)


def test_a_missing_file_is_missing_only_where_one_is_read() -> None:
    """While something is written, a missing file is a fault of the store."""
    with pytest.raises(MissingObject, match="get k: no such object"), storage_errors.reading("get", "k"):
        raise FileNotFoundError(errno.ENOENT, "no")
    with pytest.raises(errors.StorageError), storage_errors.writing("put", "k"):
        raise FileNotFoundError(errno.ENOENT, "no")


def test_other_errors_pass_through() -> None:
    """What is not the store's is not translated: our own errors and bugs keep their class."""
    for ours in (errors.ValidationError("v"), ValueError("bug"), MissingObject("m")):
        with pytest.raises(type(ours)), storage_errors.reading("get", "k"):
            raise ours


def test_missing_object_is_permanent_and_pickles() -> None:
    """Waiting does not bring an object back, so it must not be released like a StorageError."""
    lost = MissingObject("get k: no such object")
    assert isinstance(lost, errors.PermanentError)
    assert not isinstance(lost, errors.StorageError)
    assert str(pickle.loads(pickle.dumps(lost))) == str(lost)


def test_operations_are_clocked_and_their_faults_counted() -> None:
    """By operation; an object that is not there is no fault, and a listing lasts as long as its reader takes."""
    grown = Growth()
    with storage_errors.writing("put", "k"):
        pass
    with storage_errors.writing("list", ""):
        pass
    with pytest.raises(errors.StorageError), storage_errors.writing("put", "k"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(errors.StorageError), storage_errors.reading("fetch", "k"):
        raise OSError(errno.EIO, "broken")
    with pytest.raises(MissingObject), storage_errors.reading("get", "k"):
        raise FileNotFoundError
    assert grown.of("pictrawl_storage_operation_duration_seconds_count") == {("put",): 2, ("fetch",): 1, ("get",): 1}
    assert grown.of("pictrawl_storage_errors_total") == {("put",): 1, ("fetch",): 1}


def test_an_operation_outside_the_list_counts_as_other() -> None:
    """Label values are a closed list, whatever an operation is called."""
    grown = Growth()
    with pytest.raises(errors.StorageError), storage_errors.writing("verify", "k"):
        raise OSError(errno.EIO, "broken")
    assert grown.of("pictrawl_storage_operation_duration_seconds_count") == {("other",): 1}
    assert grown.of("pictrawl_storage_errors_total") == {("other",): 1}
