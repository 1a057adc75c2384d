"""What commands print with `--json`: the types of the documents that are built for that.

The other documents are results of a lower layer as they are. `website/json_schemas.py` makes the
published schemas from these types; nothing imports them at run time.
"""
