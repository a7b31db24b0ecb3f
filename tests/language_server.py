"""Asks basedpyright's language server what an editor shows where the pointer rests.

Owns: the server's process, and as much of the language server protocol as a hover needs. Must not know: what is asked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

SERVER = Path(sys.executable).with_name("basedpyright-langserver")
ABILITIES = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}, "workspace": {"configuration": True}}
SETTINGS = {"python": {"pythonPath": sys.executable}}


class LanguageServer:
    """A server for one folder of programs, for the time of a block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last_id = 0
        command = [str(SERVER), "--stdio"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def __enter__(self) -> Self:
        uri = self._folder.as_uri()
        folders = [{"uri": uri, "name": self._folder.name}]
        about_us = {"processId": None, "rootUri": uri, "workspaceFolders": folders, "capabilities": ABILITIES}
        try:
            self._ask("initialize", about_us)
            self._send({"method": "initialized", "params": {}})
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._ask("shutdown", None)
            self._send({"method": "exit"})
            self._process.wait()
        finally:
            self._kill()

    def open(self, name: str, text: str) -> None:
        """Have a program in the folder looked at."""
        document = {"uri": self._uri(name), "languageId": "python", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})

    def hover(self, name: str, line: int, column: int) -> str:
        """What is shown at a place of an opened program; lines and columns count from 0. Empty where nothing is."""
        place = {"textDocument": {"uri": self._uri(name)}, "position": {"line": line, "character": column}}
        shown = self._ask("textDocument/hover", place)
        return str(shown["contents"]["value"]) if shown else ""

    def _uri(self, name: str) -> str:
        return (self._folder / name).as_uri()

    def _kill(self) -> None:
        """End what is left of the server: a script, and the node that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _ask(self, method: str, params: object) -> Any:
        """Send a request and give its result; what the server asks and tells meanwhile is answered and passed over."""
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": params})
        while True:
            message = self._receive()
            if "method" not in message and message.get("id") == self._last_id:
                assert "error" not in message, message["error"]
                return message["result"]
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": _answer(message)})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout
        length = 0
        while (line := self._process.stdout.readline()) != b"\r\n":
            assert line, "the language server ended"
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return message


def _answer(request: dict[str, Any]) -> Any:
    """What an editor answers to a request of the server's."""
    if request["method"] == "workspace/configuration":
        return [SETTINGS.get(item.get("section"), {}) for item in request["params"]["items"]]
    return None
