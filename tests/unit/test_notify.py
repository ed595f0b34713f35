"""Sending, against real servers on loopback: formats, retries, once only, and no secret anywhere."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import http.server
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ctc.language.secrets import secret_variable
from ctc.policy.notices import Notice
from ctc.steps import channels, mail, notify
from ctc.steps.local import FileObjectStore
from ctc.steps.notify import NotSent, Sender, Telling
from ctc.steps.ports import Services
from ctc.steps.secrets import EnvironmentSecrets
from ctc.steps.task import StepFailed, Task

NOW = datetime(2024, 3, 4, 6, tzinfo=UTC)
SENDER = Sender("toy", "prod", "kubeflow", NOW)
NOTICE = Notice("promoted", "r1", "toy (prod, kubeflow): a new champion", ("a < b & c > d", "two"), "ctc runs show r1")
SECRET = "s3cr3t-T0KEN"


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with `answers` in turn (the last one for ever); keeps what was posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str]] | str] = [(200, {})]
        self.seen: list[tuple[str, Mapping[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast(Receiver, self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.seen.append((self.path, dict(self.headers), body))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if isinstance(answer, str):
            if answer == "silent":
                threading.Event().wait(1.0)
            self.close_connection = True
            return
        self.send_response(answer[0])
        for name, value in answer[1].items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for results."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(notify, "_BACKOFF", (0.0, 0.0))


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return cast(Services, Services(None, FileObjectStore(tmp_path, "s3://b"), None, None))  # type: ignore[arg-type]


def channel(kind: str = "slack", name: str = "oncall", **arguments: Any) -> dict[str, Any]:
    given = arguments or {"webhook": {"secret": "slack-oncall"}}
    return {"name": name, "kind": kind, "arguments": given, "events": ["promoted", "failed"]}


def telling(services: Services, *to: Mapping[str, Any]) -> Telling:
    document = {
        "name": "toy",
        "environment": "prod",
        "target": "kubeflow",
        "policy": {"notifications": {"channels": list(to or (channel(),))}},
    }
    return Telling(Task("wake", document, NOW, ""), services)


@pytest.fixture
def slack(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("CTC_SECRET_SLACK_ONCALL", receiver.url)
    return receiver


def test_a_message_is_told_once_to_each_channel(services: Services, slack: Receiver) -> None:
    both = (channel(), channel(name="team"))
    first = telling(services, *both)
    first.tell([NOTICE])
    again = telling(services, *both)
    again.tell([NOTICE])

    assert [item["channel"] for item in first.told] == ["oncall", "team"]
    assert all(item["ok"] and not item["error"] for item in first.told)
    assert again.told == []
    assert len(slack.seen) == 2
    mark = services.objects.get("notices/r1-promoted-oncall.json")
    assert mark is not None and mark["channel"] == "oncall"


def test_a_crash_after_the_mark_loses_the_message_and_doubles_none(services: Services, slack: Receiver) -> None:
    services.objects.put_once(notify.key(NOTICE, "oncall"), {"version": 1})
    later = telling(services)
    later.tell([NOTICE])
    assert (later.told, slack.seen) == ([], [])


def test_a_channel_hears_its_events_only(services: Services, slack: Receiver) -> None:
    told = telling(services)
    told.tell([dataclasses.replace(NOTICE, event="stale"), dataclasses.replace(NOTICE, event="failed")])
    assert [item["event"] for item in told.told] == ["failed"]
    assert len(slack.seen) == 1


def test_nobody_to_tell_touches_nothing(tmp_path: Path, services: Services) -> None:
    document = {"name": "toy", "environment": "prod", "target": "kubeflow", "policy": {}}
    Telling(Task("wake", document, NOW, ""), services).tell([NOTICE])
    assert list(tmp_path.iterdir()) == []


def test_slack_escapes_what_it_gives_a_meaning(services: Services, slack: Receiver) -> None:
    telling(services).tell([NOTICE])
    path, headers, body = slack.seen[0]
    assert path == f"/services/{SECRET}"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert body == {
        "text": "*toy (prod, kubeflow): a new champion*\na &lt; b &amp; c &gt; d\ntwo\n`ctc runs show r1`",
    }


def test_teams_takes_an_adaptive_card(receiver: Receiver) -> None:
    notify.send("teams", {"webhook": receiver.url}, NOTICE, SENDER)
    body = receiver.seen[0][2]
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    assert card["body"][0]["text"] == NOTICE.title
    assert [block["inlines"][0]["text"] for block in card["body"][1:]] == [*NOTICE.lines, NOTICE.next]


def test_pagerduty_takes_a_trigger_with_a_key_of_its_own(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_PAGERDUTY_URL", receiver.url)
    for event in ("rolled_back", "promoted"):
        notify.send("pagerduty", {"key": "R" * 32}, dataclasses.replace(NOTICE, event=event), SENDER)
    first, second = (body for _, _, body in receiver.seen)
    assert (first["routing_key"], first["event_action"]) == ("R" * 32, "trigger")
    assert (first["dedup_key"], second["dedup_key"]) == (
        "toy/prod/kubeflow/r1/rolled_back",
        "toy/prod/kubeflow/r1/promoted",
    )
    assert (first["payload"]["severity"], second["payload"]["severity"]) == ("critical", "info")
    assert first["payload"]["timestamp"] == "2024-03-04T06:00:00Z"
    assert {"summary", "source", "severity"} <= first["payload"].keys()


def test_pagerduty_limits_hold() -> None:
    """Events API v2: at most 1024 characters of summary, 255 of dedup_key."""
    body = channels.pagerduty(dataclasses.replace(NOTICE, lines=("x" * 500,) * 9, record="r" * 400), SENDER, "k")
    assert len(body["payload"]["summary"]) == 1024
    assert len(body["dedup_key"]) == 255


def test_pagerduty_asks_at_its_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_PAGERDUTY_URL", raising=False)
    assert channels.pagerduty_url() == "https://events.pagerduty.com/v2/enqueue"


def test_a_webhook_gets_the_notice_as_json(receiver: Receiver) -> None:
    notify.send("webhook", {"url": receiver.url}, NOTICE, SENDER)
    assert receiver.seen[0][2] == {
        "version": 1,
        "name": "toy",
        "environment": "prod",
        "target": "kubeflow",
        "instant": "2024-03-04T06:00:00Z",
        "event": "promoted",
        "record": "r1",
        "title": NOTICE.title,
        "lines": list(NOTICE.lines),
        "next": NOTICE.next,
    }


@pytest.mark.parametrize(
    ("answers", "posts", "error"),
    [
        ([(204, {})], 1, ""),
        ([(500, {}), (200, {})], 2, ""),
        ([(429, {"Retry-After": "0"}), (503, {}), (202, {})], 3, ""),
        ([(503, {})], 3, "the server answered 503"),
        ([(404, {})], 1, "the server answered 404"),
        ([(429, {"Retry-After": "3600"})], 1, "the server answered 429"),
        ([(502, {}), (200, {})], 1, "the server answered 502"),
        (["hang up", (200, {})], 1, "RemoteDisconnected"),
    ],
)
def test_only_what_surely_did_not_arrive_is_sent_again(
    services: Services, slack: Receiver, answers: list[Any], posts: int, error: str
) -> None:
    slack.answers = answers
    told = telling(services)
    told.tell([NOTICE])
    assert told.told == [{"channel": "oncall", "event": "promoted", "ok": not error, "error": error}]
    assert len(slack.seen) == posts


def test_pagerduty_may_be_asked_again_after_an_unclear_end(
    services: Services, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes repeats of one dedup_key as one."""
    monkeypatch.setenv("CTC_PAGERDUTY_URL", receiver.url)
    monkeypatch.setenv("CTC_SECRET_KEY", "k")
    receiver.answers = ["hang up", (502, {}), (202, {})]
    told = telling(services, channel("pagerduty", key={"secret": "key"}))
    told.tell([NOTICE])
    assert [item["ok"] for item in told.told] == [True]
    assert len({body["dedup_key"] for _, _, body in receiver.seen}) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {"Location": receiver.url})]
    with pytest.raises(NotSent, match=f"answered {status}: redirects are not followed"):
        channels.post(receiver.url, {})
    assert len(receiver.seen) == 1


def test_a_silent_server_is_not_waited_for(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TIMEOUT", 0.2)
    receiver.answers = ["silent"]
    with pytest.raises(NotSent, match=r"no answer within 0\.2 seconds") as caught:
        channels.post(receiver.url, {})
    assert not caught.value.again


def test_a_wake_does_not_tell_for_ever(services: Services, slack: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "BUDGET", 0.0)
    told = telling(services)
    told.tell([NOTICE])
    assert told.told[0]["error"] == "this wake has spent 0 seconds on telling"
    assert slack.seen == []


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"http://127.0.0.1:{{port}}/{SECRET}", "no connection: Connection refused"),
        (f"ftp://127.0.0.1/{SECRET}", "no http or https URL"),
        (f"file:///etc/{SECRET}", "no http or https URL"),
        (f"{SECRET}", "no http or https URL"),
        (f"http://127.0.0.1:{SECRET}/", "no URL"),
        (f"http://me:{SECRET}@127.0.0.1/", "holds a user name"),
        (f"http://127.0.0.1/{SECRET} x", "no http or https URL"),
        (f"http://127.0.0.1/{SECRET}\u00e9", "no http or https URL"),
        (f"http://[::1/{SECRET}", "no URL"),
        (f"https://127.0.0.1:{{port}}/{SECRET}", "no connection"),
    ],
)
def test_no_error_holds_the_address(services: Services, monkeypatch: pytest.MonkeyPatch, url: str, error: str) -> None:
    monkeypatch.setenv("CTC_SECRET_SLACK_ONCALL", url.format(port=closed_port()))
    told = telling(services)
    told.tell([NOTICE])
    [item] = told.told
    assert not item["ok"] and error in item["error"]
    said = json.dumps(told.told) + " ".join(told.sentences())
    assert SECRET not in said and "127.0.0.1" not in said


def test_an_exception_carries_no_address_with_it() -> None:
    """Neither in its text nor in the chain that a traceback shows."""
    with pytest.raises(NotSent) as caught:
        channels.post(f"http://127.0.0.1:{closed_port()}/{SECRET}", {"key": SECRET})
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None
    assert SECRET not in repr(caught.value)


def test_a_missing_secret_names_its_variable(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_SECRET_SLACK_ONCALL", raising=False)
    told = telling(services)
    told.tell([NOTICE])
    assert "set the environment variable CTC_SECRET_SLACK_ONCALL" in told.told[0]["error"]


@pytest.mark.parametrize(
    ("name", "expected"), [("slack-oncall", "SLACK_ONCALL"), ("a.b/c_d", "A_B_C_D"), ("Key9", "KEY9")]
)
def test_the_variable_of_a_secret(name: str, expected: str) -> None:
    assert secret_variable(name) == f"CTC_SECRET_{expected}"


def test_an_empty_secret_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_SECRET_X", "  ")
    with pytest.raises(StepFailed, match="CTC_SECRET_X"):
        EnvironmentSecrets().get("x")


def test_a_full_disk_keeps_the_wake_alive(services: Services, slack: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> bool:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(FileObjectStore, "put_once", full)
    told = telling(services)
    told.tell([NOTICE])
    assert told.told[0]["error"] == "its mark cannot be kept: No space left on device"
    assert slack.seen == []


class MailServer(socketserver.ThreadingTCPServer):
    """A small SMTP server with STARTTLS and AUTH; `refuse` maps a command to the answer that it gets instead."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.context = context
        self.refuse: dict[str, list[str]] = {}
        self.mails: list[bytes] = []
        self.recipients: list[str] = []
        self.logins: list[tuple[str, bool]] = []


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast(MailServer, self.server)
        secured = False
        self.say("220 here")
        while line := self.rfile.readline():
            words = line.decode().split()
            verb = words[0].upper()
            answers = server.refuse.get(verb)
            if answers:
                answer = answers.pop(0)
                if answer == "hang up":
                    return
                self.say(answer)
            elif verb == "EHLO":
                offered = ["250-here"] + (["250-STARTTLS"] if server.context and not secured else [])
                self.wfile.write("".join(f"{item}\r\n" for item in (*offered, "250 AUTH PLAIN")).encode())
            elif verb == "STARTTLS" and server.context:
                self.say("220 go")
                self.connection = server.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), cast(Any, self.connection.makefile("wb", 0))
                secured = True
            elif verb == "AUTH":
                login = base64.b64decode(words[2]).decode()
                server.logins.append((login, secured))
                self.say("235 in" if login == f"\0me\0{SECRET}" else "535 no")
            elif verb == "RCPT":
                server.recipients.append(line.decode().strip())
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part)
                server.mails.append(b"".join(lines))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def finish(self) -> None:
        super().finish()
        # Of a connection that TLS took over, the server closes only the shell.
        self.connection.close()

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def serving(server: MailServer) -> Iterator[MailServer]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    server = MailServer()
    for name, value in (("HOST", "127.0.0.1"), ("PORT", server.server_address[1]), ("FROM", "ctc@acme.example")):
        monkeypatch.setenv(f"CTC_SMTP_{name}", str(value))
    monkeypatch.setenv("CTC_SMTP_SECURITY", "none")
    monkeypatch.delenv("CTC_SMTP_USER", raising=False)
    yield from serving(server)


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A server whose certificate this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = tmp_path / "public.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = tmp_path / "private.pem"
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    server = MailServer(context)
    settings = {"HOST": "localhost", "PORT": str(server.server_address[1]), "FROM": "ctc@acme.example", "USER": "me"}
    for setting, value in settings.items():
        monkeypatch.setenv(f"CTC_SMTP_{setting}", value)
    monkeypatch.delenv("CTC_SMTP_SECURITY", raising=False)
    monkeypatch.setenv("CTC_SECRET_SMTP_PASSWORD", SECRET)
    yield from serving(server)


TO = ["anna@acme.example", "ben@acme.example"]


def test_a_mail_arrives(services: Services, mails: MailServer) -> None:
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert told.told[0] == {"channel": "oncall", "event": "promoted", "ok": True, "error": ""}
    [raw] = mails.mails
    message = message_from_bytes(raw, policy=policy.default)
    assert (message["From"], message["To"]) == ("ctc@acme.example", ", ".join(TO))
    assert message["Subject"] == NOTICE.title
    assert message["Message-ID"]
    assert message.get_content().splitlines() == [NOTICE.title, "", *NOTICE.lines, "", NOTICE.next]
    assert len(mails.recipients) == 2


def test_a_password_goes_over_tls_only(services: Services, secured: MailServer) -> None:
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert told.told[0]["error"] == ""
    assert secured.logins == [(f"\0me\0{SECRET}", True)]
    assert len(secured.mails) == 1


def test_a_wrong_password_is_told_without_it(
    services: Services, secured: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"{SECRET}-wrong"
    monkeypatch.setenv("CTC_SECRET_SMTP_PASSWORD", wrong)
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert told.told[0]["error"] == "the mail server refuses user or password (535)"
    encoded = base64.b64encode(f"\0me\0{wrong}".encode()).decode()
    assert wrong not in json.dumps(told.told) and encoded not in json.dumps(told.told)
    assert SECRET not in repr(mail.server(SECRET))


def test_a_password_is_not_sent_in_the_clear(
    services: Services, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTC_SMTP_USER", "me")
    monkeypatch.setenv("CTC_SECRET_SMTP_PASSWORD", SECRET)
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert "not sent in the clear" in told.told[0]["error"]
    monkeypatch.setenv("CTC_SMTP_SECURITY", "starttls")
    later = telling(services, channel("email", name="other", to=TO))
    later.tell([NOTICE])
    assert "lacks what is asked of it" in later.told[0]["error"]
    assert mails.logins == [] and mails.mails == []


def test_an_unknown_certificate_is_not_trusted(
    services: Services, secured: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert told.told[0]["error"] == "mail server: the server's certificate is not trusted"
    assert secured.logins == []


@pytest.mark.parametrize(
    ("verb", "answers", "error", "taken"),
    [
        ("MAIL", ["451 later"], "", 1),
        ("MAIL", ["550 never"], "the mail server answered 550", 0),
        ("EHLO", ["hang up"], "", 1),
        ("DATA", ["hang up"], "the mail server hung up", 0),
        ("RCPT", ["550 no"], "the mail server takes no mail for 1 of 2 addresses", 1),
        ("RCPT", ["550 no", "550 no"], "the mail server takes mail for none of the addresses", 0),
        ("QUIT", ["hang up"], "", 1),
        ("QUIT", ["500 what"], "", 1),
    ],
)
def test_a_mail_is_sent_again_only_if_it_surely_was_not_taken(
    services: Services, mails: MailServer, verb: str, answers: list[str], error: str, taken: int
) -> None:
    mails.refuse = {verb: answers}
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert (told.told[0]["error"], len(mails.mails)) == (error, taken)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"HOST": ""}, "CTC_SMTP_HOST"),
        ({"FROM": ""}, "CTC_SMTP_FROM"),
        ({"SECURITY": "ssl"}, "CTC_SMTP_SECURITY"),
        ({"PORT": "smtp"}, "CTC_SMTP_PORT"),
        ({"FROM": "a\r\nBcc: b@acme.example"}, "no e-mail address"),
    ],
)
def test_settings_that_do_not_do_are_named(
    services: Services, mails: MailServer, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], error: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"CTC_SMTP_{name}", value)
    told = telling(services, channel("email", to=TO))
    told.tell([NOTICE])
    assert not told.told[0]["ok"] and error in told.told[0]["error"]
    assert mails.mails == []
