"""`python -m website FOLDER` builds the website in FOLDER/site."""

import sys
from pathlib import Path

from website.build import build

if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
