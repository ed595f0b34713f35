"""Files that look like secrets: whoever may pull an image can read all that was ever copied into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.package.tree import Entry

READ = 1 << 18
"""So many bytes at the start of a file are looked at."""

_NAMES = re.compile(
    r"""(?ix)
      \.env(\.(?!example$|sample$|template$|dist$).+)?
    | \.netrc | \.pgpass | \.pypirc | \.npmrc | \.git-credentials | \.htpasswd
    | .*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk) | id_(rsa|dsa|ecdsa|ed25519) | kubeconfig
    | (application_default_)?credentials(\.json)? | client_secret.*\.json | service[-_]?account.*\.json
    | terraform\.tfstate(\.backup)? | secrets?\.(ya?ml|json|toml|ini|env)
    """
)
_FOLDERS = frozenset((".aws", ".azure", ".gcloud", ".kube", ".ssh", ".gnupg", ".docker"))
_CONTENT = re.compile(
    rb"""(?x)
      (?P<private_key>-----BEGIN[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----)
    | (?P<key_of_AWS>(?<![A-Z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Z0-9]))
    | (?P<key_of_Google>AIza[0-9A-Za-z_-]{35})
    | (?P<token_of_GitHub>gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{60})
    | (?P<token_of_Slack>xox[abeprs]-[0-9A-Za-z-]{20})
    | (?P<password_in_an_address>://[^/\s:@"']+:[^/\s:@"'${<]+@)
    | (?P<key_of_Azure_storage>AccountKey=[0-9A-Za-z+/]{60})
    """
)


def suspects(entries: tuple[Entry, ...]) -> Iterator[tuple[str, str]]:
    """The files that look like secrets, with what they look like; never a value. CtcError for an unreadable one."""
    for entry in entries:
        what = _by_name(entry.path) or _by_content(entry)
        if what:
            yield entry.path, what


def _by_name(path: str) -> str:
    *folders, name = path.split("/")
    if _FOLDERS & set(folders):
        return "a file of a folder for credentials"
    return "a name of files with secrets" if _NAMES.fullmatch(name) else ""


def _by_content(entry: Entry) -> str:
    found = _CONTENT.search(_start(entry))
    return "" if found is None else f"it holds a {str(found.lastgroup).replace('_', ' ')}"


def _start(entry: Entry) -> bytes:
    if isinstance(entry.source, bytes):
        return entry.source[:READ]
    return _head(entry.source)


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(READ)
    except OSError as error:
        raise CtcError(f"cannot read {file}: {error.strerror or error}") from error
