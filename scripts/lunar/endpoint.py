"""A client for any endpoint that speaks the OpenAI protocol's chat completions."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from lunar.errors import LunarError

KEY = "LUNAR_API_KEY"
SECONDS = 60
SHOWN = 200  # characters of an unexpected reply that a message shows


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would take the key to another host, and turn the request into one without a body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def complete(endpoint: Mapping[str, str], prompt: str, seconds: float = SECONDS) -> str:
    """The answer to one user message, decoded greedily.

    Args:
        endpoint: ``url`` up to and without ``/chat/completions``, and the ``model`` to ask. The key, where one is
            needed, is in the environment variable LUNAR_API_KEY; it is sent and goes nowhere else.
        prompt: the message.
        seconds: how long to wait for the server, each time that it is waited for.

    Raises:
        LunarError: the address cannot be reached, is too slow, refuses, or answers with anything but a chat completion
            that has a text.
    """
    url, key = endpoint["url"].rstrip("/") + "/chat/completions", os.environ.get(KEY, "").strip()
    if not url.startswith(("http://", "https://")):
        raise LunarError(f"endpoint.url must start with http:// or https://, got {endpoint['url']!r}")
    if not (key.isascii() and key.isprintable()):
        raise LunarError(f"the environment variable {KEY} holds characters that no key has; set it anew")
    body = {"model": endpoint["model"], "messages": [{"role": "user", "content": prompt}], "temperature": 0}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.build_opener(_Stay).open(request, timeout=seconds) as reply:
            content = reply.read()
    except urllib.error.HTTPError as error:
        # What a server writes into a refusal may repeat the key, so its code has to do.
        advice = {401: f"set {KEY}", 403: f"check {KEY}", 404: "check url and model", 429: "wait, or ask elsewhere"}
        hint = "write the new address in url" if error.code < 400 else advice.get(error.code, "see the server's log")
        raise LunarError(f"{url}: HTTP {error.code} ({error.reason}); {hint}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        why = f"no reply in {seconds:g} s" if isinstance(reason, TimeoutError) else str(reason) or type(error).__name__
        raise LunarError(f"{url}: cannot be asked ({why}); check endpoint.url and that the server runs") from None
    try:
        text = json.loads(content)["choices"][0]["message"]["content"].strip()
    except (ValueError, LookupError, TypeError, AttributeError):
        text = ""
    if not text:
        shown = content[:SHOWN].decode("utf-8", "replace")
        if key:
            shown = shown.replace(key, "***")
        raise LunarError(f"{url}: the reply is no chat completion with a text: {shown!r}; check endpoint.url")
    return text
