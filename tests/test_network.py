"""The guard that keeps the suite on loopback does its work."""

from __future__ import annotations

import socket

import pytest


def test_a_connection_to_another_host_fails_the_test() -> None:
    """TEST-NET-1 (RFC 5737) is nobody's address; the guard refuses before a packet leaves."""
    with pytest.raises(pytest.fail.Exception, match="only loopback"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)


def test_a_look_up_of_another_host_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="only loopback"):
        socket.getaddrinfo("registry.invalid", 80)


def test_loopback_is_allowed() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname(), timeout=1) as client:
        assert client.getpeername() == server.getsockname()
