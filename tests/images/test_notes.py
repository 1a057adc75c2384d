from headstart.images.notes import ImageNote


def test_a_sentence_for_all_images():
    raw, reduced = ImageNote.RAW_PREVIEW, ImageNote.REDUCED_BIT_DEPTH
    assert raw.sentence(1).startswith("1 image is a raw file of a camera")
    assert "each was brightened as if it had 8, 10, 12 or 14 bits" in reduced.sentence(1)
    assert reduced.sentence(2000).startswith("2,000 images have 16 bits per channel but small")
