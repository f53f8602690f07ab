"""Strings from a file made safe to print: no control of the terminal, one line, a bounded length.

This is for the eyes only. Nothing is compared, signed or stored in this form.
"""

import re
import unicodedata

MAX_CHARACTERS = 200

# Terminal sequences, in their 7-bit and 8-bit spelling: ECMA-48 (ISO 6429), sections 5.4 (CSI) and
# 5.6 (OSC, DCS, SOS, PM, APC: strings up to BEL or ST).
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]?"
)


def printable(text: str, *, limit: int = MAX_CHARACTERS) -> str:
    """`text` without terminal sequences and characters that are not seen, cut to `limit` with an ellipsis.

    Every character of Unicode's category C goes (controls, bidi and zero-width marks, surrogates,
    private use, unassigned); white space, line ends included, becomes a plain space.
    """
    # Cut first, so that a huge string costs nothing; sequences rarely fill more than three quarters.
    shown = _ESCAPES.sub("", text[: 4 * limit])
    kept = "".join(
        " " if c.isspace() else c for c in shown if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    return kept if len(kept) <= limit and len(text) <= 4 * limit else kept[: limit - 1] + "…"
