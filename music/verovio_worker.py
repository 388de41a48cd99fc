"""Scores to MIDI in a process of its own: the child of `music.verovio_process`, run as a script.

Verovio is C++ and reads whatever it is given; a damaged score may send it into a loop, into gigabytes or into
a segmentation fault. Here it can do no more harm than end this process, which holds no data and is started
again. The file imports nothing of this project, so that it runs under ``python -I``.

Protocol: one byte ``R`` when ready; then for each request (4 bytes length, big-endian, and that much UTF-8
MusicXML) one answer (1 byte, ``M`` for MIDI or ``E`` for refused; 4 bytes length; the MIDI) until input ends.
"""

import base64
import resource
import signal
import sys

MEMORY_BYTES = 1 << 30
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
    while len(head := receive.read(4)) == 4:
        score = receive.read(int.from_bytes(head, "big")).decode()
        signal.alarm(LAST_RESORT_SECONDS)
        toolkit = verovio.toolkit()
        toolkit.setOptions({"breaks": "none", "xmlIdChecksum": True})  # no layout; nothing random
        # renderToMIDI without a loaded score is a segmentation fault (6.4.1): only after success.
        midi = base64.b64decode(toolkit.renderToMIDI()) if toolkit.loadData(score) else b""
        signal.alarm(0)
        send.write((b"M" if midi else b"E") + len(midi).to_bytes(4, "big") + midi)
        send.flush()


if __name__ == "__main__":
    main()
