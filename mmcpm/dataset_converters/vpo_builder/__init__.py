"""Make a dataset like VPO from instance annotations and recordings.

Chen et al., "Unraveling Instance Associations: A Closer Look for Audio-Visual
Segmentation" (CAVP), CVPR 2024, section 3: pictures of COCO are given the
sounds of objects that they show. Start at :mod:`.plan`, which decides what
sounds where; :mod:`.writer` puts it on disk.
"""
