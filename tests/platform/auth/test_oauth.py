"""The rules that a client's request for a code is held to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from neuro_platform.auth.oauth import (
    OAuthError,
    authorization_request,
    challenge_of,
    redirect_of,
    same_redirect,
    verifies,
)

ORIGINS = frozenset({URL("https://lab.example"), URL("http://127.0.0.1:8080")})
GOOD = {
    "response_type": "code",
    "code_challenge": challenge_of("v" * 43),
    "code_challenge_method": "S256",
    "client_id": "neuro",
    "redirect_uri": "http://127.0.0.1:54540",
    "audience": "neuro-platform",
}


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:54540",
        "http://127.0.0.1:54540/",
        "http://127.0.0.1:1",
        "http://localhost:65535",
        "http://[::1]:8000/",
        "https://lab.example/oauth/show-code",
        "https://lab.example/oauth/show-code/",
        "http://127.0.0.1:8080/oauth/show-code",
    ],
)
def test_a_code_may_go_to_loopback_and_to_our_own_page(uri: str) -> None:
    assert redirect_of({**GOOD, "redirect_uri": uri}, ORIGINS) == URL(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "nonsense",
        "//127.0.0.1:54540",
        "https://127.0.0.1:54540",
        "http://127.0.0.1.evil.example:54540",
        "http://localhost.evil.example",
        "http://evil.example#127.0.0.1",
        "http://127.0.0.1@evil.example/",
        "http://user@127.0.0.1:54540/",
        "http://127.0.0.1:54540/?next=http://evil.example",
        "http://127.0.0.1:54540/#x",
        "http://127.0.0.1:54540/elsewhere",
        "http://127.0.0.1:99999/",
        "http://0.0.0.0:54540/",
        "http://192.168.0.1:54540/",
        "http://lab.example/oauth/show-code",
        "https://lab.example:444/oauth/show-code",
        "https://evil.example/oauth/show-code",
        "https://lab.example/oauth/show-code/../../elsewhere",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://127.0.0.1:54540\\@evil.example/",
        "http://127.0.0.1:54540\r\nX: y",
    ],
)
def test_a_code_goes_nowhere_else(uri: str) -> None:
    with pytest.raises(OAuthError, match="redirect_uri"):
        redirect_of({**GOOD, "redirect_uri": uri}, ORIGINS)


@given(st.text())
def test_no_text_as_redirect_does_harm(uri: str) -> None:
    with pytest.raises(OAuthError):
        redirect_of({**GOOD, "redirect_uri": uri}, ORIGINS)


@pytest.mark.parametrize("client_id", [None, "", "other"])
def test_a_client_set_up_for_elsewhere_is_refused(client_id: str | None) -> None:
    query = {key: value for key, value in {**GOOD, "client_id": client_id}.items() if value is not None}

    with pytest.raises(OAuthError, match="client_id"):
        redirect_of(query, ORIGINS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_type": "token"},
        {"response_type": ""},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge": "a" * 42 + "="},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"audience": "elsewhere"},
        {"state": "line\nbreak"},
        {"state": "x" * 1025},
    ],
)
def test_a_request_without_what_is_needed_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(OAuthError):
        authorization_request({**GOOD, **wrong}, URL(GOOD["redirect_uri"]))


@given(st.text(alphabet=[chr(c) for c in range(0x20, 0x7F)], max_size=1024))
def test_state_goes_back_as_it_came(state: str) -> None:
    asked = authorization_request({**GOOD, "state": state}, URL(GOOD["redirect_uri"]))

    assert asked.back(code="c").query == {"code": "c", "state": state}


@given(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", min_size=43, max_size=128)
)
def test_only_the_verifier_fits_its_challenge(verifier: str) -> None:
    assert verifies(verifier, challenge_of(verifier))
    assert not verifies(verifier[:-1] + ("a" if verifier[-1] != "a" else "b"), challenge_of(verifier))


def test_the_challenge_is_that_of_rfc_7636() -> None:
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("verifier", ["", "short", "ü" * 43, "v" * 129, "v" * 42 + "="])
def test_a_malformed_verifier_never_fits(verifier: str) -> None:
    assert not verifies(verifier, challenge_of("v" * 43))


def test_the_slash_at_the_end_makes_no_difference() -> None:
    assert same_redirect("http://127.0.0.1:54540", "http://127.0.0.1:54540/")
    assert not same_redirect("http://127.0.0.1:54540", "http://127.0.0.1:54541")
