"""The models that come with the program; generator/pretrained/README.md is their card."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "pretrained"
"""Their folder, with the public key that signed them."""
SHIPPED = MODELS / "chorales"
"""The model that is used where none is named."""
