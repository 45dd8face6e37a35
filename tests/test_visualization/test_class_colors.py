import numpy as np

from mmcpm.visualization.class_colors import class_colours, class_patches

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 51, 255]]


def test_background_and_no_object_are_grey():
    colours = class_colours(PALETTE)
    assert colours.shape == (4, 3)
    assert colours[1:3].tolist() == [[1, 0, 0], [0, 0.2, 1]]
    for grey in colours[[0, 3]]:
        assert 0.2 < grey[0] == grey[1] == grey[2] < 0.9
    assert not np.allclose(colours[0], colours[3])


def test_legend_names_classes_and_no_object():
    patches = class_patches([2, 3], ['background', 'dog', 'bell'], PALETTE)
    assert [patch.get_label() for patch in patches] == ['bell', 'no object']
    assert patches[0].get_facecolor() == (0, 0.2, 1, 1)
