"""What jobs publish, as a person sees it: real jobs, a real browser, curl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import log_in, open_page, text_of
from tests.e2e.place import PASSWORD, Place, free_port, need, until

ROOT = Path(__file__).resolve().parents[2]
NO_BROWSER = {"SSH_TTY": "/dev/pts/0"}


def serve(place: Place, *options: str, name: str = "site", host: str = "127.0.0.1") -> dict[str, Any]:
    """A job that serves the test site; its document, once it answers."""
    port = str(free_port())
    program = [sys.executable, str(ROOT / "tests" / "site.py"), port, host]
    place.ok("run", "--detach", "-n", name, "--http", port, *options, "host", "--", *program)
    job = place.wait_for(name, "running")
    until(lambda: curl(place, job["http_url"], token(place))[0] == 200, "the site to answer")
    return job


def token(place: Place) -> str:
    return place.ok("config", "show-token").strip()


def curl(place: Place, url: str, token: str | None = None, *options: str) -> tuple[int, str]:
    """Status and body, as curl gets them: it knows by itself where names below localhost are."""
    credential = [] if token is None else ["--oauth2-bearer", token]
    command = [need("curl"), "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *credential, *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def said(page: Page) -> str:
    """What the site's socket said in the page."""
    expect(page.locator("#said")).to_have_text("it said hello", timeout=30_000)
    return page.inner_text("#said")


@pytest.fixture
def owner(own: Place) -> Place:
    """The user of the machine, who has a password too, and another user called alice."""
    name = own.json("config", "show", "--json")["username"]
    for user in (name, "alice"):
        own.ok("platform", "user", "add", user, input=PASSWORD + "\n")
    own.env["OWNER"] = name
    return own


def test_a_folder_is_published_and_curl_gets_it(here: Place, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    port = str(free_port())
    program = [sys.executable, "-m", "http.server", "--directory", str(tmp_path), port]
    here.ok("run", "--detach", "-n", "folder", "--http", port, "--no-http-auth", "host", "--", *program)
    url = here.wait_for("folder", "running")["http_url"]

    until(lambda: curl(here, f"{url}/hello.txt") == (200, "hello"), "the folder to be served")
    assert curl(here, f"{url}/hello.txt", None, "-H", "Range: bytes=1-2")[0] in (200, 206)
    assert curl(here, f"{url}/nothing")[0] == 404
    here.ok("kill", "folder")
    here.wait_for("folder", "cancelled")
    assert curl(here, f"{url}/hello.txt")[0] == 404


def test_a_person_logs_in_on_the_way_to_the_job(owner: Place) -> None:
    job = serve(owner)
    address = job["http_url_named"]

    with open_page(f"{address}/?from=here") as page:
        assert "/open?" in page.url
        log_in(page, owner.env["OWNER"], PASSWORD)
        page.wait_for_url(f"{address}/?from=here")
        assert said(page) == "it said hello"
        assert page.evaluate("document.cookie") == ""
        page.reload()
        assert said(page) == "it said hello"
        page.goto(job["http_url"])  # its other address; the platform knows the browser by now
        assert page.url == f"{job['http_url']}/"
        assert said(page) == "it said hello"


def test_somebody_else_is_told_whose_job_it_is_not(owner: Place) -> None:
    job = serve(owner)

    with open_page(job["http_url"]) as page:
        log_in(page, "alice", PASSWORD)
        expect(page.get_by_role("alert")).to_contain_text("not shared with you")
        assert "alice" in text_of(page)
        page.get_by_role("link", name="Use another account").click()
        log_in(page, owner.env["OWNER"], PASSWORD)
        assert said(page) == "it said hello"


def test_the_owner_of_a_machine_needs_no_password(own: Place) -> None:
    serve(own, name="site")
    address = own.ok("job", "browse", "site", env=NO_BROWSER).strip()

    with open_page(address) as page:
        assert said(page) == "it said hello"
        assert "code=" not in page.url
        page.goto(address)
        assert "used already" in text_of(page)
        page.get_by_role("link", name="Open the job").click()
        assert said(page) == "it said hello"


def test_a_page_waits_for_the_job_and_goes_on_by_itself(own: Place) -> None:
    port = str(free_port())
    program = f"while [ ! -e {own.home}/go ]; do sleep 0.1; done; exec {sys.executable} {ROOT}/tests/site.py {port}"
    own.ok("run", "--detach", "-n", "slow", "--http", port, "--no-http-auth", "host", "--", "sh", "-c", program)
    job = own.wait_for("slow", "running")

    with open_page(job["http_url"]) as page:
        assert "Nothing answers yet" in text_of(page)
        (own.home / "go").touch()
        assert said(page) == "it said hello"


def test_a_page_of_one_job_reaches_neither_another_job_nor_the_platform(own: Place) -> None:
    serve(own, name="mine")
    other = serve(own, name="other")
    mine = own.ok("job", "browse", "mine", env=NO_BROWSER).strip()
    theirs = own.ok("job", "browse", "other", env=NO_BROWSER).strip()
    ask = """async url => {
        const answers = []
        for (const options of [{}, {credentials: "include"}, {method: "POST", credentials: "include"}])
            answers.push(await fetch(url, options).then(answer => answer.text(), error => "refused"))
        return answers
    }"""
    socket = """url => new Promise(done => {
        const socket = new WebSocket(url)
        socket.onopen = () => done("open")
        socket.onerror = () => done("refused")
    })"""

    with open_page(theirs) as page:
        assert said(page) == "it said hello"
        page.goto(mine)
        assert said(page) == "it said hello"
        for url in (other["http_url_named"] + "/echo", own.url + "/config"):
            assert page.evaluate(ask, url) == ["refused"] * 3
        assert page.evaluate(socket, other["http_url_named"].replace("http", "ws") + "/ws") == "refused"
        assert page.evaluate("fetch('/echo').then(answer => answer.status)") == 200


def test_a_job_outlives_its_platform_and_is_found_again(own: Place) -> None:
    job = serve(own, "--no-http-auth")
    own.ok("platform", "down")
    own.ok("platform", "up")

    until(lambda: curl(own, f"{job['http_url']}/echo")[0] == 200, "the job to be found again")
