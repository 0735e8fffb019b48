"""What checkouts and downloads leave in place of a file that they did not get."""

from __future__ import annotations

import re

BEGINNING = 512  # bytes that `explain` wants to see, or all of a shorter file

_LFS = b"version https://git-lfs"
_PAGE = re.compile(rb"<(!doctype|html|head|body|\?xml|error|!--)", re.IGNORECASE)


def explain(beginning: bytes) -> str | None:
    """What the file is, with the remedy, to follow "it is"; None if it is none of these."""
    if not beginning:
        return "empty: fetch it again"
    if beginning.startswith(_LFS):
        return "a Git LFS pointer, and the file itself was not fetched: run `git lfs pull`"
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _PAGE.match(text) and b"<svg" not in text:
        return "a web page, which a server sent in place of the file: download the file itself"
    first = re.split(rb"[\r\n]", text[:60])[0]
    if len(first) >= 4 and re.fullmatch(rb"[ -~]+", first):
        return f"text ({first.decode()[:40]!r} …): download the file itself"
    return None
