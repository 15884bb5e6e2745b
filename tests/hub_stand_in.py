"""A small stand-in of the Hub, over HTTP: repositories with one branch, large files, tokens and refusals.

The paths, headers and answers are those that huggingface_hub's client asks for and reads. As the real one,
it takes no weights in plain git, and says 401 of what a visitor without a token may not see.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_aliceWritesHere"


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """Alice's token may write below "alice/", and nowhere else."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[tuple[str, str], Repository] = {}  # by ("models", "alice/digits")
        self.objects: dict[str, bytes] = {}  # large files by SHA-256
        self.asked: list[str] = []
        self.broken = ""  # a repository that is answered with an error which repeats what was sent
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, value=None, body: bytes = b"", **headers: str) -> None:
        if value is not None:
            body, headers = json.dumps(value).encode(), {**headers, "Content-Type": "application/json"}
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, words: str, code: str = "") -> None:
        self.answer(status, {"error": words}, X_Error_Code=code, X_Error_Message=words)

    def handle_one(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", TOKEN) and not path.startswith("/objects/"):
            return self.refuse(401, "Invalid credentials in Authorization header")
        for pattern, method in ROUTES.items():
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                return getattr(self, method)(body, bool(token), **found.groupdict())
        self.refuse(404, f"the stand-in does not know {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def repository(self, kind: str | None, repo: str, known: bool) -> Repository | None:
        found = self.server.repositories.get((kind or "models", repo))
        if found is None or (found.private and not known):
            self.refuse(404 if known else 401, "Repository not found", "RepoNotFound")
            return None
        return found

    def create(self, body: bytes, known: bool) -> None:
        asked = json.loads(body)
        repo, kind = f"{asked['organization']}/{asked['name']}", asked.get("type", "model") + "s"
        url = f"{self.server.url}/{repo}" if kind == "models" else f"{self.server.url}/{kind}/{repo}"
        if not repo.startswith("alice/"):
            return self.refuse(403, f'You don\'t have the rights to create a {kind} under "{repo}"')
        if (kind, repo) in self.server.repositories:
            return self.answer(409, {"error": "You already created this repo", "url": url})
        if repo == self.server.broken:
            return self.refuse(500, f"out of order, {self.headers['Authorization']}")
        private = asked.get("visibility") == "private"
        files = {".gitattributes": b"*.safetensors filter=lfs\n"}
        self.server.repositories[kind, repo] = Repository(private, files)
        self.answer(200, {"url": url})

    def info(self, body: bytes, known: bool, kind: str, repo: str) -> None:
        found = self.repository(kind, repo, known)
        if found:
            files = [{"rfilename": name} for name in found.files]
            self.answer(200, {"id": repo, "sha": found.sha, "private": found.private, "siblings": files})

    def tree(self, body: bytes, known: bool, kind: str, repo: str) -> None:
        found = self.repository(kind, repo, known)
        if found:
            sizes = {name: len(content) for name, content in found.files.items()}
            rows = [{"type": "file", "path": name, "size": size, "oid": ""} for name, size in sizes.items()]
            self.answer(200, rows)

    def validate(self, body: bytes, known: bool) -> None:
        """A card's head, by what the Hub documents of it."""
        asked = json.loads(body)
        head, wrong = yaml.safe_load(asked["content"].split("---\n")[1]), []
        if asked["repoType"] == "space":
            wrong += [
                f"{key} is required" for key in ("title", "sdk", "colorFrom", "colorTo") if not head.get(key)
            ]
            if len(head.get("short_description", "")) > 60:
                wrong.append("short_description is longer than 60 characters")
        for result in (head.get("model-index") or [{"results": []}])[0]["results"]:
            if not (result["task"]["type"] and result["dataset"]["type"] and result["metrics"]):
                wrong.append("model-index is incomplete")
        errors = [{"message": words} for words in wrong]
        self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, body: bytes, known: bool, kind: str, repo: str) -> None:
        found = self.repository(kind, repo, known)
        if found:
            files = []
            for file in json.loads(body)["files"]:
                mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
                files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
            self.answer(200, {"files": files})

    def batch(self, body: bytes, known: bool, kind: str | None, repo: str) -> None:
        objects = []
        for large in json.loads(body)["objects"]:
            action = {"upload": {"href": f"{self.server.url}/objects/{large['oid']}"}}
            objects.append(large if large["oid"] in self.server.objects else {**large, "actions": action})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, known: bool, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self.refuse(400, "the content is not what its name says")
        self.server.objects[oid] = body
        self.answer(200)

    def commit(self, body: bytes, known: bool, kind: str, repo: str) -> None:
        found = self.repository(kind, repo, known)
        if found is None:
            return
        if not known or not repo.startswith("alice/"):
            return self.refuse(403, "You may not write here")
        files = dict(found.files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file" and value["path"].endswith(".safetensors"):
                return self.refuse(400, "Your push was rejected because it contains binary files")
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        found.files, found.commits = files, found.commits + 1
        place = repo if kind == "models" else f"{kind}/{repo}"
        self.answer(
            200, {"commitUrl": f"{self.server.url}/{place}/commit/{found.sha}", "commitOid": found.sha}
        )

    def resolve(self, body: bytes, known: bool, repo: str, file: str) -> None:
        found = self.repository("models", repo, known)
        if found and file not in found.files:
            return self.refuse(404, "Entry not found", "EntryNotFound")
        if found:
            content = found.files[file]
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(200, body=content, ETag=tag, X_Repo_Commit=found.sha)


REPO = r"(?P<repo>[^/]+/[^/]+?)"
ROUTES = {
    r"POST /api/repos/create": "create",
    rf"GET /api/(?P<kind>models|spaces)/{REPO}(/revision/main)?": "info",
    rf"GET /api/(?P<kind>models|spaces)/{REPO}/tree/[^/]+/?": "tree",
    r"POST /api/validate-yaml": "validate",
    rf"POST /api/(?P<kind>models|spaces)/{REPO}/preupload/main": "preupload",
    rf"POST /((?P<kind>spaces)/)?{REPO}\.git/info/lfs/objects/batch": "batch",
    r"PUT /objects/(?P<oid>[0-9a-f]{64})": "store",
    rf"POST /api/(?P<kind>models|spaces)/{REPO}/commit/main": "commit",
    rf"(GET|HEAD) /{REPO}/resolve/[^/]+/(?P<file>.+)": "resolve",
}
