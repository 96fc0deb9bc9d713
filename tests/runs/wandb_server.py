"""As much of wandb's server as its client needs to upload a run, and to go on with one: it keeps what is sent to it."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """`history` has each run's lines by id, where the client put them: sent again from the start, they are replaced."""

    def __init__(self, url: str):
        self.url, self.history = url, dict[str, dict[int, dict[str, Any]]]()

    def rows(self) -> list[dict[str, Any]]:
        """Of the only run."""
        ((_, lines),) = self.history.items()
        assert [*sorted(lines)] == [*range(len(lines))]
        return [lines[number] for number in sorted(lines)]

    def receive(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/graphql":
            return {"data": self.graphql(body.get("variables") or {})}
        if path.endswith("/file_stream"):
            part = body.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
            lines = self.history.setdefault(path.split("/")[-2], {})
            lines.update({part["offset"] + i: json.loads(line) for i, line in enumerate(part["content"])})
        return {"exitcode": None, "limits": {}}

    def graphql(self, variables: dict[str, Any]) -> dict[str, Any]:
        lines = self.history.get(str(variables.get("name")), {})
        tail = [json.dumps(lines[max(lines)])] if lines else []
        bucket = {
            "id": "id", "name": variables.get("name"), "displayName": variables.get("displayName"), "config": "{}",
            "projectId": "1",
            "historyLineCount": len(lines), "historyTail": json.dumps(tail), "summaryMetrics": tail[0] if tail else "{}",
            "logLineCount": 0,
            "eventsLineCount": 0, "eventsTail": "[]", "wandbConfig": '{"t": {}}', "tags": [], "sweepName": None,
            "project": {"id": "p", "name": "small-rl", "entity": {"id": "e", "name": "me"}},
        }  # fmt: skip
        artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s", "latestArtifact": None}}
        return {
            "viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
            "serverInfo": {"cliVersionInfo": {"max_cli_version": "99.0.0", "min_cli_version": "0.1"}, "features": []},
            "upsertBucket": {"bucket": bucket, "inserted": not lines},
            "model": {"bucket": bucket if lines else None},
            "createArtifact": {"artifact": artifact},
            "project": None,
            "useArtifact": {"artifact": {"id": "a"}},
            "createRunFiles": {"runID": "id", "uploadHeaders": [], "files": []},
        }


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            raw = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            is_json = "json" in self.headers.get("Content-Type", "")
            reply = json.dumps(server.receive(self.path, json.loads(raw) if is_json else {})).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_PUT = do_GET = do_POST

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = WandbServer(f"http://127.0.0.1:{http.server_port}")
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield server
        http.shutdown()
