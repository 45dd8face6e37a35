# Table 4, row 1: learned queries and a linear classifier only.
_base_ = ['../../../avmask2former/avmask2former_r50_avss.py']
