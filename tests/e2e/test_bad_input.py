"""What goes wrong in front of a user ends in a sentence and the right exit code, with nothing half done."""

from __future__ import annotations

import http.server
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.place import Place, free_port


@contextmanager
def answering(status: int, body: bytes, kind: str) -> Iterator[str]:
    """Something that is not a platform: answers every request alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nothing_stored(place: Place) -> bool:
    return not (place.config / "db").exists()


# ---- addresses


def test_unknown_host(place: Place) -> None:
    done = place.neuro("login", "--token", "-", "http://no-such-host.invalid/api/v1", input="token\n")

    assert done.code == 74, done
    assert "no-such-host.invalid" in done.sentence
    assert nothing_stored(place)


def test_refused_port(place: Place) -> None:
    port = free_port()

    done = place.neuro("login", "--token", "-", f"http://127.0.0.1:{port}/api/v1", input="token\n")

    assert done.code == 74, done
    assert str(port) in done.sentence
    assert nothing_stored(place)


NOT_PLATFORMS = {
    "an HTML page": (200, b"<html><body>It works!</body></html>", "text/html"),
    "a 404": (404, b"<html>Not Found</html>", "text/html"),
    "JSON of another kind": (200, b'{"hello": "world"}', "application/json"),
    "JSON of another form": (200, b"[1, 2]", "application/json"),
    "broken JSON": (200, b'{"auth_url": ', "application/json"),
}


@pytest.mark.parametrize(("status", "body", "kind"), NOT_PLATFORMS.values(), ids=NOT_PLATFORMS)
def test_not_a_platform(place: Place, status: int, body: bytes, kind: str) -> None:
    with answering(status, body, kind) as url:
        done = place.neuro("login", "--token", "-", url, input="token\n")

    assert done.code == 76, done
    assert url.removesuffix("/api/v1") in done.sentence
    assert nothing_stored(place)


def test_a_platform_that_fails(place: Place) -> None:
    with answering(500, b"boom", "text/plain") as url:
        done = place.neuro("login", "--token", "-", url, input="token\n")

    assert done.code in (76, 125), done
    assert done.sentence
    assert nothing_stored(place)


def test_an_address_without_a_scheme(place: Place) -> None:
    done = place.neuro("login", "--token", "-", "127.0.0.1:8080", input="token\n")

    assert done.code == 2, done
    assert "http" in done.sentence


# ---- credentials


@pytest.mark.parametrize("token", ["not-a-token", "a.b.c", "x" * 5000])
def test_malformed_token(place: Place, shared: Place, token: str) -> None:
    done = place.neuro("login", "--token", "-", shared.url, input=token + "\n")

    assert done.code == 77, done
    assert token not in done.sentence
    assert nothing_stored(place)


def test_empty_token(place: Place, shared: Place) -> None:
    done = place.neuro("login", "--token", "-", shared.url)

    assert done.code in (2, 65, 77), done
    assert nothing_stored(place)


def test_revoked_token(place: Place, shared: Place) -> None:
    created = shared.json("platform", "token", "create", "alice", "short-lived", "--json")
    environment = {"NEURO_TOKEN": created["token"], "NEURO_URL": shared.url}
    assert place.neuro("ps", env=environment).code == 0

    shared.ok("platform", "token", "revoke", created["id"])
    done = place.neuro("ps", env=environment)

    assert done.code == 77, done
    assert "revoked" in done.sentence


def test_expired_token(place: Place, shared: Place) -> None:
    created = shared.json("platform", "token", "create", "alice", "over", "--expires", "1s", "--json")
    environment = {"NEURO_TOKEN": created["token"], "NEURO_URL": shared.url}

    codes = set()
    for _ in range(50):
        done = place.neuro("ps", env=environment)
        codes.add(done.code)
        if done.code != 0:
            break

    assert done.code == 77, done
    assert "expired" in done.sentence


# ---- the folder of the login


def test_config_folder_is_a_file(place: Place) -> None:
    place.config.write_text("old")

    done = place.neuro("ps")

    assert done.code in (70, 77), done
    assert str(place.config) in done.sentence


def test_config_folder_that_others_may_read(here: Place, place: Place) -> None:
    place.login()
    place.config.chmod(0o755)

    done = place.neuro("ps")

    assert done.code == 70, done
    assert "permission" in done.sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_config_folder_that_cannot_be_read(place: Place) -> None:
    place.config.mkdir(mode=0)

    done = place.neuro("ps")

    assert done.code in (70, 77), done
    assert str(place.config) in done.sentence


def test_corrupt_login(place: Place) -> None:
    place.login()
    (place.config / "db").write_bytes(b"not a database" * 100)
    (place.config / "db").chmod(0o600)

    done = place.neuro("ps")

    assert done.code == 70, done
    assert "neuro log" in done.sentence  # what to do


def test_logging_in_twice_says_so(place: Place) -> None:
    place.login()

    done = place.neuro("login", "--local")

    assert done.code in (0, 70), done
    assert place.neuro("ps").code == 0


# ---- jobs


@pytest.mark.parametrize("image", ["ubuntu", "python:3.12", "image:mine:v1", "host:latest2"])
def test_image_that_the_engine_cannot_run(here: Place, image: str) -> None:
    done = here.neuro("run", image, "--", "true")

    assert done.code == 65, done
    assert "host" in done.sentence


REFUSED = {
    "variable without =": (["--env", "=value"], {2, 65}),
    "variable with a bad name": (["--env", "a b=c"], {2, 65}),
    "name with capitals": (["--name", "Train"], {2, 65}),
    "name too short": (["--name", "ab"], {2, 65}),
    "name with two hyphens": (["--name", "a--b"], {2, 65}),
    "name like an id": (["--name", "job-training"], {2, 65}),
    "unknown preset": (["--preset", "no-such-preset"], {65, 72}),
    "bad life span": (["--life-span", "1y"], {2}),
    "a volume of nothing": (["--volume", "storage"], {2, 65}),
}


@pytest.mark.parametrize(("options", "codes"), REFUSED.values(), ids=REFUSED)
def test_refused_option(here: Place, options: list[str], codes: set[int]) -> None:
    before = here.json("ps", "--all", "--json")

    done = here.neuro("run", *options, "host", "--", "true")

    assert done.code in codes, done
    assert done.sentence
    assert here.json("ps", "--all", "--json") == before


def test_name_that_is_taken(here: Place) -> None:
    here.ok("run", "--detach", "-n", "taken", "host", "--", "sleep", "600")

    done = here.neuro("run", "--detach", "-n", "taken", "host", "--", "true")
    here.ok("kill", "taken")

    assert done.code == 65, done
    assert "taken" in done.sentence


def test_killing_a_finished_job_is_no_error(here: Place) -> None:
    here.ok("run", "-n", "finished", "-T", "host", "--", "true")

    done = here.neuro("kill", "finished")

    assert done.code == 0, done
    assert here.json("status", "finished", "--json")["status"] == "succeeded"


def test_exec_into_a_finished_job(here: Place) -> None:
    here.ok("run", "-n", "over-already", "-T", "host", "--", "true")

    done = here.neuro("exec", "-T", "over-already", "--", "true")

    assert done.code in (65, 72), done
    assert done.sentence


def test_unbalanced_quote(here: Place) -> None:
    done = here.neuro("run", "-T", "host", "echo 'hello")

    assert done.code in (2, 65), done
    assert done.sentence


# ---- the platform's own


def test_more_than_the_machine_has_is_refused_at_submit(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")
    (place.data).mkdir(mode=0o700)
    (place.data / "platform.toml").write_text(
        """
        [[engines.local.presets]]
        name = "small"
        cpu = 0.1
        memory_mb = 64
        [[engines.local.presets]]
        name = "cpus"
        cpu = 10000
        memory_mb = 64
        [[engines.local.presets]]
        name = "memory"
        cpu = 0.1
        memory_mb = 1000000000
        [[engines.local.presets]]
        name = "gpus"
        cpu = 0.1
        memory_mb = 64
        gpu = 64
        """
    )
    place.up()
    try:
        place.login()

        done = {name: place.neuro("run", "-s", name, "host", "--", "true") for name in ("cpus", "memory", "gpus")}

        assert {name: one.code for name, one in done.items()} == dict.fromkeys(done, 65), done
        assert "CPU" in done["cpus"].sentence
        assert "memory" in done["memory"].sentence
        assert "GPU" in done["gpus"].sentence
        assert place.json("ps", "--all", "--json") == []
    finally:
        place.neuro("platform", "down")


def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")
    place.data.write_text("in the way")

    done = place.neuro("platform", "up")

    assert done.code not in (0, 2), done
    assert str(place.data) in done.sentence
    assert len(done.err.strip().splitlines()) == 1


def test_corrupt_database(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")
    place.data.mkdir(mode=0o700)
    (place.data / "platform.db").write_bytes(b"not a database" * 1000)

    done = place.neuro("platform", "up", "--port", str(free_port()))

    assert done.code != 0, done
    assert "platform.db" in done.sentence
    assert len(done.err.strip().splitlines()) == 1


def test_database_of_a_newer_version(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")
    place.up()
    place.ok("platform", "down")
    with sqlite3.connect(place.data / "platform.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    done = place.neuro("platform", "up")

    assert done.code != 0, done
    assert "newer" in done.sentence
    assert len(done.err.strip().splitlines()) == 1


def test_taken_port(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")

    with answering(200, b"", "text/plain") as url:
        port = url.split(":")[2].split("/")[0]
        done = place.neuro("platform", "up", "--port", port)

    assert done.code == 1, done
    assert port in done.sentence
    assert len(done.err.strip().splitlines()) == 1
