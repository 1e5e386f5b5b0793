from maskquery.formats import colours


def test_they_are_pascal_vocs() -> None:
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(colour) for colour in colours.palette(6).tolist()] == first
    assert colours.palette(256)[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in colours.palette(256).tolist()}) == 256
