"""Pages of results: one HTML file each, which works offline and loads nothing from elsewhere."""
