"""Common names of columns, and what they mean."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from headstart.errors import DataError
from headstart.types import Split

_PIXEL: Final = re.compile(r"(?:pixels?|px|p)[\W_]*\d+|\d+x\d+|\d+")
_FEWEST_PIXELS: Final = 64  # 8 x 8

IMAGE_NAMES: Final = frozenset(
    {"image", "images", "file", "files", "filename", "filenames", "path", "filepath", "imagepath"}
    | {"imagefile", "imagefilename", "imagename", "img", "imgpath", "imgfile", "imgname", "photo"}
    | {"picture", "filelocation", "imageuri", "uri", "imageurl", "url", "relativepath"}
)
ID_NAMES: Final = frozenset(
    {"id", "imageid", "imgid", "idcode", "imagecode", "fileid", "photoid", "pictureid", "uuid"}
    | {"name"}
)
"""Names of columns that name images if no other column does."""
LABEL_NAMES: Final = frozenset(
    {"label", "labels", "class", "classes", "classname", "classlabel", "category", "target"}
    | {"species", "y", "labelname", "categoryname"}
)
TOPIC_NAMES: Final = frozenset(
    {"breed", "diagnosis", "dx", "disease", "emotion", "expression", "tag", "tags", "classid"}
    | {"labelid", "categoryid", "targetname", "groundtruth", "cultivar", "grade", "artist", "style"}
)
"""Names of columns that are labels if no column has a common name for them."""
LABEL_ENDINGS: Final = ("label", "class", "category")
"""Endings of names that are labels if no column has a common name, such as "fine_label"."""
PLURAL_NAMES: Final = frozenset({"labels", "classes", "tags", "categories", "targets"})
SPLIT_NAMES: Final = frozenset({"split", "splits", "usage", "partition", "fold"})
MAYBE_SPLIT_NAMES: Final = frozenset({"set", "subset", "dataset", "part", "phase", "datasplit"})
"""Names of columns that are splits if their values are; they are often something else."""
FLAG_NAMES: Final = {
    **dict.fromkeys(("istrain", "istraining", "istrainingimage", "train"), Split.TRAIN),
    **dict.fromkeys(("isval", "isvalid", "isvalidation", "val", "valid"), Split.VALIDATION),
    **dict.fromkeys(("istest", "istesting", "istestimage", "test"), Split.TEST),
}
"""Columns of yes and no that say whether an image is in a split; "train" may also be a class."""
_PREDICTIONS: Final = frozenset({"image", "label", "probability", "error"})
INDEX_NAMES: Final = frozenset({"", "index", "unnamed0", "idx", "row", "rownumber"})


def plain_name(column: str) -> str:
    """Return a column's name without case, blanks and marks: "image.File_Name" is "filename"."""
    last = column.rsplit(".", 1)[-1] or column
    return re.sub(r"[\W_]+", "", last.casefold())


def is_image_name(column: str) -> bool:
    """Whether a column's name is one of images."""
    return plain_name(column) in IMAGE_NAMES


def is_common_name(column: str) -> bool:
    """Whether a column's name is one of images or labels."""
    return plain_name(column) in IMAGE_NAMES | ID_NAMES | LABEL_NAMES | TOPIC_NAMES


def are_predictions(columns: Iterable[str]) -> bool:
    """Whether a table has the columns that predict, classify and watch write."""
    return _PREDICTIONS.issubset(columns)


def check_pixels(path: Path, columns: Sequence[str]) -> None:
    """Refuse tables that hold the images' pixels, as MNIST and FER2013 are handed around in CSV.

    Raises:
        DataError: There are columns of pixels, or one of lists of pixels.
    """
    names = [plain_name(one) for one in columns]
    pixels = [one for one in columns if _PIXEL.fullmatch(one.strip().casefold())]
    lists = [one for one, name in zip(columns, names, strict=True) if name == "pixels"]
    # Numbers may also be features, or classes, of the images that another column names.
    known = IMAGE_NAMES | ID_NAMES if all(one.isdecimal() for one in pixels) else IMAGE_NAMES
    if not known.isdisjoint(names) or (len(pixels) < _FEWEST_PIXELS and not lists):
        return
    what = f"the column '{lists[0]}'" if lists else f"{len(pixels)} columns of numbers"
    raise DataError(
        f"{path} holds the pixels of images ({what}), not the names of image files; save each row "
        "as an image first, such as with Pillow's Image.fromarray, and give a folder of them"
    )
