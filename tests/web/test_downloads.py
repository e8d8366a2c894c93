import pytest

from app.web.downloads import disposition


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.jpg", "attachment; filename=\"a.jpg\"; filename*=UTF-8''a.jpg"),
        ('a"b\\c%.tar', "attachment; filename=\"a_b_c_.tar\"; filename*=UTF-8''a%22b%5Cc%25.tar"),
        ("vogël\r\nX: y", "attachment; filename=\"vog_l__X: y\"; filename*=UTF-8''vog%C3%ABl%0D%0AX%3A%20y"),
    ],
)
def test_disposition_quotes_whatever_a_name_holds(filename: str, expected: str) -> None:
    """RFC 6266: a plain name for old clients, the exact one for the others, and no header can be broken."""
    assert disposition(filename) == expected
