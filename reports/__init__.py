"""Turns an audit report into pages and files; rounding happens only here."""
