"""Scores to MIDI and notation to drawings in a process of its own: the child of `music.verovio_process`, a script.

Verovio is C++ and reads whatever it is given; a damaged score may send it into a loop, into gigabytes or into
a segmentation fault. Here it can do no more harm than end this process, which holds no data and is started
again. The file imports nothing of this project, so that it runs under ``python -I``.

Protocol: one byte ``R`` when ready; then for each request (1 byte, ``M`` for MIDI or ``S`` for SVG; 4 bytes length,
big-endian, and that much UTF-8 MusicXML or MEI) one answer (1 byte, that of the request or ``E`` for refused; 4 bytes
length; the MIDI or the SVG of the first page) until input ends.
"""

import base64
import resource
import signal
import sys

MEMORY_BYTES = 1 << 30
OPTIONS = {  # xmlIdChecksum: nothing random
    b"M": {"breaks": "none", "xmlIdChecksum": True},  # no layout
    b"S": {
        **{"breaks": "auto", "pageWidth": 2400, "pageHeight": 60000, "adjustPageHeight": True, "xmlIdChecksum": True},
        **{"header": "none", "footer": "none", "svgViewBox": True, "svgRemoveXlink": True, "spacingStaff": 8},
        **{"pageMarginLeft": 40, "pageMarginRight": 0, "pageMarginTop": 0, "pageMarginBottom": 40},
    },
}
LAST_RESORT_SECONDS = 60  # the parent keeps the real limit; this is for when it is killed meanwhile


def main() -> None:
    """Answer requests on standard input until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    receive, send = sys.stdin.buffer, sys.stdout.buffer
    send.write(b"R")
    send.flush()
    while len(head := receive.read(5)) == 5:
        score = receive.read(int.from_bytes(head[1:], "big")).decode()
        signal.alarm(LAST_RESORT_SECONDS)
        toolkit = verovio.toolkit()
        toolkit.setOptions(OPTIONS[head[:1]])
        # renderToMIDI without a loaded score is a segmentation fault (6.4.1): only after success.
        made = b""
        if toolkit.loadData(score):
            made = base64.b64decode(toolkit.renderToMIDI()) if head[:1] == b"M" else toolkit.renderToSVG(1).encode()
        signal.alarm(0)
        send.write((head[:1] if made else b"E") + len(made).to_bytes(4, "big") + made)
        send.flush()


if __name__ == "__main__":
    main()
