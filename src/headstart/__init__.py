"""headstart: a folder of photos in, a tested image classifier out."""
