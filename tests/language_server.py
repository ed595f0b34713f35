"""A language server over its standard streams, as an editor drives it."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SECONDS = 30.0
"""How long an answer may take; the first has the schema to read."""

Position = tuple[int, int]
"""Line and column from 0, as the protocol counts."""


class LanguageServer:
    """`settings` answer what the server asks of its client's configuration, by section. Use as a context manager."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.messages = ""
        self.process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._ids = 0
        self._versions = 0
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._published: queue.Queue[dict[str, Any]] = queue.Queue()
        self._writing = threading.Lock()
        self._threads = [threading.Thread(target=task, daemon=True) for task in (self._listen, self._drain)]

    def __enter__(self) -> LanguageServer:
        for thread in self._threads:
            thread.start()
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {"publishDiagnostics": {"relatedInformation": True}, "hover": {}, "completion": {}},
        }
        self.request("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})
        self.notify("initialized", {})
        self.notify("workspace/didChangeConfiguration", {"settings": self.settings})
        return self

    def __exit__(self, *_: object) -> None:
        self.request("shutdown", None)
        self.notify("exit", None)
        self.process.wait(SECONDS)
        for thread in self._threads:
            thread.join(SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def findings(self, file: Path, text: str) -> list[dict[str, Any]]:
        """What the server says of a text that is opened as `file`."""
        uri = self.open(file, text)
        while True:
            published = self._published.get(timeout=SECONDS)
            if published["uri"] == uri:
                self.close(uri)
                return list(published["diagnostics"])

    def completions(self, file: Path, text: str, at: Position) -> dict[str, dict[str, Any]]:
        """What the server offers at a place, by its label."""
        uri = self.open(file, text)
        answer = self.request("textDocument/completion", _place(uri, at))
        self.close(uri)
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return {item["label"]: item for item in items}

    def hover(self, file: Path, text: str, at: Position) -> str:
        uri = self.open(file, text)
        answer = self.request("textDocument/hover", _place(uri, at))
        self.close(uri)
        return "" if answer is None else str(answer["contents"]["value"])

    def open(self, file: Path, text: str) -> str:
        uri = file.as_uri()
        # The server keeps what it parsed, by version, even of a document that was closed.
        self._versions += 1
        item = {"uri": uri, "languageId": "yaml", "version": self._versions, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def close(self, uri: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def request(self, method: str, params: Any) -> Any:
        self._ids += 1
        self._send({"id": self._ids, "method": method, "params": params})
        while True:
            answer = self._answers.get(timeout=SECONDS)
            if answer["id"] == self._ids:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        with self._writing:
            assert self.process.stdin is not None
            self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            self.process.stdin.flush()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            self._take(json.loads(stream.read(length)))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._answers.put(message)
        elif message["method"] == "textDocument/publishDiagnostics":
            self._published.put(message["params"])
        elif message["method"] == "workspace/configuration":
            wanted = [self.settings.get(item.get("section")) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": wanted})
        elif "id" in message:
            self._send({"id": message["id"], "result": None})

    def _drain(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        for line in stream:
            self.messages += line.decode(errors="replace")


def _place(uri: str, at: Position) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": at[0], "character": at[1]}}
