"""HTML pages: the report of a track, the index of several, originality, evaluation."""
