"""What was hashed in one run of the program, so that a store or a model is read once and not once per track."""

from __future__ import annotations

import os
from pathlib import Path

from ledger.hashes.digest import Digest
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest, Method
from ledger.provenance.record import root_of


class Digests:
    """Measures of paths, each taken when it is first asked for.

    What a run says of a store, a model or a track is about one state of it: the one that the run opened and worked on.
    So an audit measures store and model when it begins, before a track is judged. A digest taken later, for the second
    track's record, could only be of files that were changed since, by which no track was judged.

    Parameters
    ----------
    cache : HashCache, optional
        Digests of files that earlier runs hashed, to be believed where the files look unchanged.
    """

    def __init__(self, cache: HashCache | None = None) -> None:
        self._cache = cache
        self._known: dict[tuple[str, Method], Manifest] = {}

    def manifest(self, path: Path, method: Method) -> Manifest:
        """Hash an artefact, cut as `method` says; raises `PathRefused`."""
        place = os.path.abspath(path), method  # a link to a file that was hashed is refused all the same
        if place not in self._known:
            self._known[place] = Manifest.of_path(path, method, self._cache)
        return self._known[place]

    def measure(self, path: Path) -> Manifest | Digest:
        """Hash an artefact: the manifest of a folder, the digest of a file; raises `PathRefused`."""
        manifest = self.manifest(path, FILES)
        return manifest if path.is_dir() else manifest.files["."]

    def of(self, path: Path) -> Digest:
        """Return the digest of an artefact: manifest root of a folder, SHA-256 of a file."""
        return root_of(self.measure(path))
