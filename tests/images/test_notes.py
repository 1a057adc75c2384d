from headstart.images.notes import ImageNote, sentences


def test_one_sentence_for_each_kind_with_its_number_of_images():
    raw, reduced = ImageNote.RAW_PREVIEW, ImageNote.REDUCED_BIT_DEPTH
    first, second = sentences([reduced, raw, reduced])
    assert first.startswith("1 image is a raw file of a camera")
    assert second.startswith("2 images have 16 bits per channel but small values only")
    assert sentences([]) == []
