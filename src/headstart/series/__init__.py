"""Series: photos of the same scene, which are not independent of each other."""
