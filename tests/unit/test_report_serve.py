"""The server for the lab's wall: what it answers, to whom, and that nothing of a request comes back."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hil.bench import Where
from hil.bench.state import State
from hil.errors import UsageError
from hil.record.history import History, Result, Usage
from hil.report import serve, wall
from hil.report.serve import LabServer, address, lab_server
from hil.report.wall import Wall
from tests.support.histories import NOW, filled, origin

LIMIT = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LabServer]:
    with lab_server("127.0.0.1", 0, filled(tmp_path / "h.sqlite", 2), Where("virtual")) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: LabServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=LIMIT)  # type: ignore[arg-type]
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = (answer.status, dict(answer.getheaders()), answer.read().decode())
    connection.close()
    return found


def raw(server: LabServer, data: bytes) -> bytes:
    with socket.create_connection(server.server_address[:2], timeout=LIMIT) as line:
        found = b""
        with suppress(OSError):  # it does not hear the end of what is too long
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while more := line.recv(65536):
                found += more
        return found


def test_the_wall_and_its_files(server: LabServer) -> None:
    status, headers, text = ask(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert "night-01" in text
    assert "<style" not in text
    for path in ("/style.css", "/wall.css", "/wall.js", "/theme.js"):
        assert path in text
        assert ask(server, path)[0] == 200


def test_the_page_of_a_run(server: LabServer) -> None:
    status, _, text = ask(server, "/run/night-01")
    assert (status, "night-01" in text) == (200, True)
    assert ask(server, "/run/night-0")[0] == 404, "more than one begins so"
    assert ask(server, "/run/nobody")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/run.html", "/../../etc/passwd", "/%2e%2e/style.css", "//etc/passwd", "/run/..", "/run/", "/run/a/b", "/x.html"],
)
def test_there_is_nothing_else(server: LabServer, path: str) -> None:
    assert ask(server, path)[::2] == (404, "nothing is here\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(server: LabServer, method: str) -> None:
    assert ask(server, "/", method)[0] == 501


def test_a_head_has_no_body(server: LabServer) -> None:
    status, headers, text = ask(server, "/", "HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example", "localhost@evil", "[::1", "a b"]
)
def test_other_hosts_get_nothing(server: LabServer, host: str) -> None:
    """A name that somebody made point here: his page could read what is shown, in the browser of one of us."""
    status, _, text = ask(server, "/", Host=host)
    assert (status, text) == (421, "this host is not known here\n")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80", "192.168.7.7:8090", socket.gethostname()]
)
def test_names_and_addresses_of_this_machine_are_known(server: LabServer, host: str) -> None:
    assert ask(server, "/", Host=host)[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /<script>x HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /?<script>x HTTP/1.0\r\nHost: localhost\r\nReferer: <script>x\r\nCookie: <script>x\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: <script>x\r\n\r\n",
        b"<script>x / HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"<script>x\r\n\r\n",
        b"GET / HTTP/9.9<script>x\r\n\r\n",
        b"GET /run/<script>x HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"<script>x" * 10_000 + b" HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\n" + b"A: <script>x\r\n" * 1000 + b"\r\n",
    ],
)
def test_nothing_of_a_request_comes_back(
    server: LabServer, request_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert b"<script>x" not in raw(server, request_bytes)
    assert capfd.readouterr() == ("", "")


def test_no_more_than_so_many_are_answered_at_once(server: LabServer, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = [socket.create_connection(server.server_address[:2], timeout=LIMIT) for _ in range(serve._REQUESTS)]
    turned_away = socket.create_connection(server.server_address[:2], timeout=LIMIT)
    with suppress(ConnectionResetError):
        assert turned_away.recv(1) == b"", "closed at once"
    for line in (*idle, turned_away):
        line.close()
    # As soon as the others are gone, there is room again.
    for _ in range(200):
        try:
            assert ask(server, "/")[0] == 200
            break
        except (ConnectionError, http.client.HTTPException):
            threading.Event().wait(0.05)
    else:
        pytest.fail("nobody is answered any more")


def test_many_who_look_cost_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def wall() -> str:
        looks.append(1)
        return "wall"

    monkeypatch.setattr(serve, "_FRESH", 1000.0)
    with LabServer("127.0.0.1", 0, wall, lambda _: None) as server:
        assert {server.wall() for _ in range(50)} == {"wall"}
    assert len(looks) == 1


def test_a_fault_of_ours_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with LabServer("127.0.0.1", 0, lambda: str(1 // 0), lambda _: None) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(server, "/")
        server.shutdown()
        thread.join()
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ("127.0.0.1", 8090)),
        (":8000", ("127.0.0.1", 8000)),
        ("0.0.0.0", ("0.0.0.0", 8090)),
        ("lab.local:80", ("lab.local", 80)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_addresses(text: str, wanted: tuple[str, int]) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize("text", ["a:b", "host:99999", "http://x", "::1", "a b"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="not HOST:PORT"):
        address(text)


def test_a_port_that_is_taken(server: LabServer) -> None:
    port = server.server_address[1]
    with pytest.raises(UsageError, match=f"cannot serve at 127.0.0.1:{port}"):
        lab_server("127.0.0.1", int(port), Path("h.sqlite"), Where("virtual"))


# -- what the wall knows -----------------------------------------------------------------------------------------------


def test_without_a_history_none_is_made(tmp_path: Path) -> None:
    view = Wall(tmp_path / "none.sqlite", Where("virtual")).view()
    assert view.trouble == (f"there is no history yet: {tmp_path / 'none.sqlite'}",)
    assert list(tmp_path.iterdir()) == []


def test_runs_by_how_they_are(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with History.open(filled(tmp_path / "h.sqlite", 1)) as history:
        here = os.uname().nodename
        for name, host, pid in (("mine", here, os.getpid()), ("killed", here, ended.pid), ("elsewhere", "x", 1)):
            history.begin(origin(name, host=host, pid=pid)).tested(Result("a::b", "failed", at=NOW))
        bad = history.begin(origin("bad"))
        bad.end()
        history.begin(origin("long ago", days_ago=3))
    view = Wall(tmp_path / "h.sqlite", Where("virtual")).view()
    assert {one.run.id: one.there for one in view.live} == {"mine": True, "killed": False, "elsewhere": None}
    assert [one.outcomes for one in view.live] == [{"failed": 1}] * 3
    assert [one.run.id for one in view.night] == ["bad", "night-00"]


def test_a_lab_file_that_is_wrong_does_not_hide_the_runs(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text("schema = 99\n")
    view = Wall(filled(tmp_path / "h.sqlite", 1), Where(str(lab))).view()
    assert len(view.trouble) == 1
    assert str(lab) in view.trouble[0]
    assert len(view.night) == 1


def test_leases_are_listed_while_they_are_held(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.leases() == ()
    handle = state.try_lease("serial A", "rp2040")
    assert handle is not None
    ((name, owner),) = state.leases()
    assert (name, owner.kind, owner.pid) == (state.lease_name("serial A"), "rp2040", os.getpid())
    os.close(handle)
    assert state.leases() == ()


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    words = ["report", "--serve", ":0", "--history", str(tmp_path / "h.sqlite"), "--bench", "virtual"]
    command = [sys.executable, "-m", "hil", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        stderr: Any = running.stderr
        try:
            assert "the wall is at http://127.0.0.1:" in stderr.readline()
            running.send_signal(signal.SIGINT)
            assert running.wait(LIMIT) == 0
            assert stderr.read().strip() == ""
        finally:
            running.kill()


def test_boards_of_a_labgrid_coordinator_are_on_the_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "rp2040": [
            ("virtual", "p-0 at labgrid:lab:20408, exporter pi", None, "well"),
            ("hardware", "p-1 at labgrid:lab:20408, exporter pi", "pi/ana", "well"),
            ("hardware", "p-2 at labgrid:lab:20408, exporter none", None, "no exporter has p-2"),
            ("hardware", "p-3 at labgrid:lab:20408, exporter pi", None, "set aside (no answer): hil lab release p-3"),
        ]
    }
    monkeypatch.setattr(wall, "seen", lambda where, kind: iter(told.get(kind, [])))
    view = Wall(tmp_path / "h.sqlite", Where("labgrid:lab:20408")).view()
    assert [(board.name, board.kind, board.state) for board in view.boards] == [
        ("p-0", "rp2040", "free"),
        ("p-1", "rp2040", "held"),
        ("p-2", "rp2040", "missing"),
        ("p-3", "rp2040", "set aside"),
    ]
    assert "pi/ana" in view.boards[1].what
    assert "hil lab release p-3" in view.boards[3].what


def test_a_board_is_shown_with_its_health(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(f'schema = 1\nstate = "{tmp_path}"\n[board.a]\nkind = "rp2040"\nserial = "A"\n')
    file = tmp_path / "h.sqlite"
    (board,) = Wall(file, Where(str(lab))).view().boards
    assert (board.state, board.health) == ("free", "")
    with History.open(file) as history, history.run(origin("one")) as run:
        run.used(Usage("serial A", "a", "infrastructure", "no answer"))
        run.used(Usage("serial A", "a", "well"))
    (board,) = Wall(file, Where(str(lab))).view().boards
    assert board.health.endswith("1 of 2 uses bad")
