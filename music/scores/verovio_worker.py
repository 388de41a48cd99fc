"""Notation to drawings in a process of its own: the child of `music.scores.verovio_process`, a script.

Verovio is C++ and reads whatever it is given; a damaged score may send it into a loop, into gigabytes or into
a segmentation fault. Here it can do no more harm than end this process, which holds no data and is started
again. The file imports nothing of this project, so that it runs under ``python -I``.

Protocol: one byte ``R`` when ready; then for each request (1 byte, ``S``; 4 bytes length, big-endian, and that much
UTF-8 MEI) one answer (1 byte, ``S`` or ``E`` for refused; 4 bytes length; the SVG of the first page) until input ends.
"""

import resource
import signal
import sys

MEMORY_BYTES = 1 << 30
OPTIONS = {  # xmlIdChecksum: nothing random
    **{"breaks": "auto", "pageWidth": 2400, "pageHeight": 60000, "adjustPageHeight": True, "xmlIdChecksum": True},
    **{"header": "none", "footer": "none", "svgViewBox": True, "svgRemoveXlink": True, "spacingStaff": 8},
    **{"pageMarginLeft": 40, "pageMarginRight": 0, "pageMarginTop": 0, "pageMarginBottom": 40},
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
        toolkit.setOptions(OPTIONS)
        drawing = toolkit.renderToSVG(1).encode() if toolkit.loadData(score) else b""
        signal.alarm(0)
        send.write((b"S" if drawing else b"E") + len(drawing).to_bytes(4, "big") + drawing)
        send.flush()


if __name__ == "__main__":
    main()
