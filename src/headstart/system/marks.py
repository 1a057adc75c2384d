"""How images that headstart writes are told from photos."""

from typing import Final

SOFTWARE: Final = {"Software": "headstart"}
"""The text chunk of every PNG file that headstart writes (PNG, 11.3.3.2)."""
PNG_MARK: Final = b"Software\x00headstart"
"""The same as the first bytes of such a file contain it."""
