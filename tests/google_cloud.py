"""Cloud Storage on loopback, as its JSON API answers, and whatever else a test makes a service say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = 2
"""Names on a page: few, so that each listing has several."""


@dataclass
class Google:
    """Objects by bucket and name, each with its generation. `script` are answers that go before all others."""

    buckets: dict[str, dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    script: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    generation: int = 1_700_000_000_000_000
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any, int]:
        """Code, body (bytes as they are, all else as JSON) and the generation of what is sent."""
        if self.script:
            return *self.script.pop(0), 0
        parts = path.strip("/").split("/")
        bucket = parts[parts.index("b") + 1]
        if bucket not in self.buckets:
            return *_error(404, "The specified bucket does not exist.", "notFound"), 0
        objects = self.buckets[bucket]
        if method == "POST":
            return self._write(objects, query, body)
        if len(parts) == parts.index("o") + 1:
            return 200, _page(objects, query), 0
        name = unquote(parts[-1])
        if name not in objects:
            return *_error(404, f"No such object: {bucket}/{name}", "notFound"), 0
        if method == "DELETE":
            del objects[name]
            return 204, b"", 0
        generation, content = objects[name]
        return 200, content, generation

    def _write(self, objects: dict[str, tuple[int, bytes]], query: dict[str, str], body: bytes) -> tuple[int, Any, int]:
        name = query["name"]
        held = objects.get(name, (0, b""))[0]
        if "ifGenerationMatch" in query and int(query["ifGenerationMatch"]) != held:
            message = "At least one of the pre-conditions you specified did not hold."
            return *_error(412, message, "conditionNotMet"), 0
        self.generation += 1
        objects[name] = (self.generation, body)
        return 200, {"kind": "storage#object", "name": name, "generation": str(self.generation)}, 0


def _page(objects: dict[str, tuple[int, bytes]], query: dict[str, str]) -> dict[str, Any]:
    names = [name for name in sorted(objects) if name.startswith(query.get("prefix", ""))]
    start = int(query.get("pageToken", "0"))
    page: dict[str, Any] = {"items": [{"name": name} for name in names[start : start + PAGE]]}
    if len(names) > start + PAGE:
        page["nextPageToken"] = str(start + PAGE)
    # The service leaves an empty list out.
    return page if page["items"] else {}


def _error(code: int, message: str, reason: str) -> tuple[int, Any]:
    return code, {"error": {"code": code, "message": message, "errors": [{"reason": reason, "domain": "global"}]}}


@contextmanager
def serve(google: Google) -> Iterator[str]:
    """The base of its requests while it is up."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(parts.query))
            with google.lock:
                google.asked.append((self.command, parts.path, dict(self.headers)))
                code, said, generation = google.answer(self.command, parts.path, query, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            if generation:
                self.send_header("x-goog-generation", str(generation))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
