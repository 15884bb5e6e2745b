"""Stands between strangers and the page: how large a request may be, where it may come from, what it may ask.

Everything else is refused before any of it is read as JSON.
"""

import os
import re
import traceback
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import get_route_path

LARGEST = 100_000  # bytes of a body. A drawing has 16,000; all visitors wait while Gradio reads one
API = "/gradio_api/"
# What the page and gradio_client use of Gradio's routes: no uploads, no proxy, no files by URL.
USED = ("app_id", "call/", "cancel", "file=/", "heartbeat/", "info", "openapi.json", "queue/", "reset")
USED += ("run/", "startup-events", "theme.css")
SAFE = ("GET", "HEAD", "OPTIONS")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PARENTS = "'self' https://huggingface.co http://localhost:* http://127.0.0.1:*"  # notebooks, too
HEADERS = {"Content-Security-Policy": f"frame-ancestors {PARENTS}", "X-Content-Type-Options": "nosniff"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # another version has another name
FAILED = "This could not be answered: a value is of the wrong kind, or the server's log says what failed."


class Guard:
    """ASGI middleware around Gradio's app."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, path = False, get_route_path(scope)

        async def answer(message):
            nonlocal begun
            if message["type"] == "http.response.start":
                if message["status"] == 500:  # it has no words
                    raise HTTPException(400, FAILED)
                kept = FOR_EVER if path.startswith("/assets/") and message["status"] < 400 else {}
                MutableHeaders(scope=message).update(HEADERS | kept)
            begun = True
            await send(message)

        try:
            check_route(path)
            check_site(scope["method"], Headers(scope=scope))
            return await self.app(scope, await bounded(scope, receive), answer)
        except HTTPException as refused:
            status, says = refused.status_code, refused.detail
        except Exception:  # Gradio's own: about a name that it does not know, say
            if begun:
                raise
            traceback.print_exc()
            status, says = 400, FAILED
        await JSONResponse({"detail": says, "error": says}, status)(scope, receive, answer)


def check_route(path: str) -> None:
    """Raise HTTPException for a route of Gradio's that nothing here uses."""
    asked = re.sub(r"^file=[A-Za-z]:[\\/]", "file=/", path.removeprefix(API))  # so paths begin on Windows
    if path.startswith(API) and not asked.startswith(USED):
        raise HTTPException(404, "This route is closed: the page does not use it.")


def check_site(method: str, headers: Headers) -> None:
    """Refuse another site that asks: by its Origin, or by a name of its own for this machine."""
    host, origin = _name(headers.get("host")), headers.get("origin")
    space, root = os.environ.get("SPACE_ID"), os.environ.get("GRADIO_ROOT_PATH")
    if not space and not root and host not in LOOPBACK:
        raise HTTPException(
            403, "This Host is not served; allowed: localhost, or a proxy's with GRADIO_ROOT_PATH"
        )
    own = {host, *os.environ.get("SPACE_HOST", "").split(","), urlsplit(root or "").hostname}
    if host in LOOPBACK:  # a proxy here says so; another site's page cannot: Gradio grants it no such header
        own.add(_name(headers.get("x-forwarded-host")))
    site = urlsplit(origin or "").hostname
    if origin and method not in SAFE and (not site or site not in own):
        raise HTTPException(403, "Another site asks for this; allowed: the page itself, and programs.")


def _name(host: str | None) -> str:
    """A Host header without its port."""
    return urlsplit(f"//{host or ''}").hostname or ""


async def bounded(scope, receive):
    """``receive``, once the whole body is here; raises HTTPException where it is too large."""
    if scope["method"] in SAFE:
        return receive
    too_large = HTTPException(413, f"The body is too large; allowed: {LARGEST:,} bytes.")
    announced, body, more = Headers(scope=scope).get("content-length", "0"), b"", True
    if len(announced) > 7 or int(announced) > LARGEST:
        raise too_large
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST:
            raise too_large
    whole = iter([{"type": "http.request", "body": body}])

    async def replay():
        return next(whole, None) or await receive()

    return replay
