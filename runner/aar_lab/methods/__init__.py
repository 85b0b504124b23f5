"""Methods: each file is one way to learn from weak labels, and each stands alone.

Law: a method defines `train(lab)` and the constants SUMMARY, CITATION, DEFAULTS, SPACE and USES_WEAK_LABELS. It imports nothing
but `aar_lab`, `aar_api.wire`, numpy and, inside functions, torch, so that it can be uploaded as a snapshot and listed without torch.
"""
