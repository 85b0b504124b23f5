"""The lab: trains one method on one bundle and predicts.

Law: everything here runs beside code that a model may have written, so nothing here is trusted with a label, a score or, while
a method runs, a token. Three steps, a process each: `fetch` and `post` speak to the hub and run no method; `train` runs the
method under `supervise` and speaks to nobody. torch is imported only where tensors are made, transformers only where a
pretrained model is: the probe path starts in about two seconds.
"""
