"""Notices by e-mail, over the SMTP server that the environment names.

- `CTC_SMTP_HOST`, `CTC_SMTP_PORT` (default 587, with `tls` 465) and `CTC_SMTP_FROM`, the sender's address.
- `CTC_SMTP_SECURITY`: `starttls` (default), `tls`, or `none`, which sends no password.
- `CTC_SMTP_USER`; its password is the secret `smtp-password`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate

from ctc.policy.notices import Notice
from ctc.steps.channels import TIMEOUT, explain
from ctc.steps.notify import NotSent, Sender

PASSWORD = "smtp-password"
"""The name of the secret."""

_PORTS = {"starttls": 587, "tls": 465, "none": 587}


@dataclass(frozen=True, repr=False)
class Server:
    """`user` and `password` are empty where the server asks for none."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = ""


def server(secret: str = "") -> Server:
    """The server that the environment names; `secret` is its user's password. NotSent where the settings do not do."""
    given = {key: os.environ.get(f"CTC_SMTP_{key}", "").strip() for key in ("HOST", "PORT", "SECURITY", "FROM", "USER")}
    missing = [f"CTC_SMTP_{key}" for key in ("HOST", "FROM") if not given[key]]
    if missing:
        raise NotSent(f"set the environment variable {' and '.join(missing)}: mail needs a server and a sender")
    security = given["SECURITY"] or "starttls"
    if security not in _PORTS:
        raise NotSent("CTC_SMTP_SECURITY is none of starttls, tls, none")
    if security == "none" and given["USER"]:
        raise NotSent("CTC_SMTP_SECURITY is none: a password is not sent in the clear; use starttls or tls")
    if given["PORT"] and not given["PORT"].isdecimal():
        raise NotSent("CTC_SMTP_PORT is no number")
    port = int(given["PORT"]) if given["PORT"] else _PORTS[security]
    return Server(given["HOST"], port, security, given["FROM"], given["USER"], secret)


def wants_password() -> bool:
    return bool(os.environ.get("CTC_SMTP_USER", "").strip())


def compose(notice: Notice, sender: Sender, address: str, to: Sequence[str]) -> EmailMessage:
    """The mail. Its id is the notice's, so that a reader sees a repeat as one. NotSent for what is no address."""
    message = EmailMessage()
    about = f"{sender.name}/{sender.environment}/{sender.target}/{notice.record}/{notice.event}"
    try:
        message["From"] = address
        message["To"] = ", ".join(to)
    except ValueError:
        raise NotSent("CTC_SMTP_FROM, or an address in `to`, is no e-mail address") from None
    message["Subject"] = notice.title
    message["Date"] = formatdate()
    digest = hashlib.sha256("\n".join((about, *to)).encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{digest}@ctc.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join((notice.title, "", *notice.lines, "", notice.next)) + "\n")
    return message


def send(server: Server, message: EmailMessage, to: Sequence[str]) -> None:
    """Hands the mail to the server. NotSent if it does not take it, or not for everybody."""
    handed = False
    try:
        with contextlib.closing(_connect(server)) as connection:
            handed = True
            refused = connection.send_message(message, server.sender, list(to))
            # The server has the mail: how it says good-bye changes nothing.
            with contextlib.suppress(OSError):
                connection.quit()
    except smtplib.SMTPServerDisconnected:
        raise NotSent("the mail server hung up", again=not handed) from None
    except smtplib.SMTPRecipientsRefused:
        raise NotSent("the mail server takes mail for none of the addresses") from None
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"the mail server refuses user or password ({error.smtp_code})") from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the mail server answered {error.smtp_code}", again=400 <= error.smtp_code < 500) from None
    except smtplib.SMTPNotSupportedError:
        raise NotSent("the mail server lacks what is asked of it: see CTC_SMTP_SECURITY and CTC_SMTP_USER") from None
    except OSError as error:
        raise NotSent(
            f"mail server: {explain(error)}", again=not handed and not isinstance(error, ssl.SSLError)
        ) from None
    except ValueError as error:
        raise NotSent(f"mail server: {type(error).__name__}") from None
    if refused:
        raise NotSent(f"the mail server takes no mail for {len(refused)} of {len(to)} addresses")


def _connect(server: Server) -> smtplib.SMTP:
    """A connection on which a mail can be sent; its own name is not looked up, which may take long."""
    name = socket.gethostname()
    own = name if "." in name else "[127.0.0.1]"
    context = ssl.create_default_context()
    connection = (
        smtplib.SMTP_SSL(server.host, server.port, own, timeout=TIMEOUT, context=context)
        if server.security == "tls"
        else smtplib.SMTP(server.host, server.port, own, timeout=TIMEOUT)
    )
    try:
        if server.security == "starttls":
            connection.starttls(context=context)
        connection.ehlo_or_helo_if_needed()
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection
