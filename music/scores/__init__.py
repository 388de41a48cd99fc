"""MusicXML: the reader, repeats, and verovio, which draws."""
