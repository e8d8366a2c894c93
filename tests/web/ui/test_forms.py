"""Forms that no browser sends, but anybody can: the sign-in form is open to all."""

import pytest

from tests.web.ui.conftest import PAGE, Browser


def multipart(**fields: str) -> bytes:
    parts = (f'--bb\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    return ("".join(parts) + "--bb--\r\n").encode()


@pytest.mark.parametrize("charset", ["utf-7", "undefined", "punycode", "unicode_escape", "raw_unicode_escape", "utf-16", "nonesuch", ""])
async def test_a_form_in_another_charset_is_refused(browser: Browser, charset: str) -> None:
    """Python has codecs that raise errors of their own, and some that make lone surrogates."""
    await browser.get("/signin")
    headers = PAGE | {"Content-Type": f"multipart/form-data; boundary=bb; charset={charset}"}
    for token in (browser.token, "+2AA-", "\\ud800"):
        answer = await browser.client.post("/signin", content=multipart(csrf_token=token, key="x"), headers=headers)
        assert answer.status_code == 400, answer.text
        assert "Send the form as UTF-8" in answer.text


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF8"])
async def test_a_form_in_utf8_is_read(browser: Browser, charset: str) -> None:
    await browser.get("/signin")
    headers = PAGE | {"Content-Type": f"multipart/form-data; boundary=bb{charset}"}
    answer = await browser.client.post("/signin", content=multipart(csrf_token=browser.token, key="é"), headers=headers)
    assert (answer.status_code, "no API key in force" in answer.text) == (401, True)


async def test_nul_in_a_form_is_refused(browser: Browser) -> None:
    """PostgreSQL cannot store it or compare with it."""
    await browser.get("/signin")
    answer = await browser.post("/signin", key="a\0b")
    assert (answer.status_code, "key" in answer.text, "NUL" in answer.text) == (400, True, True)
