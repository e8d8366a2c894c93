from fastapi import Response

from app.web.answers import ACCEPTED, accepted, may_fail


def test_accepted_says_where_and_when_to_look() -> None:
    """RFC 9110 15.3.3: a status monitor, and how soon it is worth asking."""
    response = Response()
    accepted(response, "/v1/jobs/job_1")
    assert (response.headers["location"], response.headers["retry-after"]) == ("/v1/jobs/job_1", "1")
    assert set(ACCEPTED[202]["headers"]) == {"Location", "Retry-After"}


def test_may_fail_leaves_the_words_to_the_document() -> None:
    """A status is named where it can happen, and described once."""
    assert may_fail(409, 416) == {409: {}, 416: {}}
