"""Can a model predict its own behaviour better than another model that learned to (arXiv 2410.13787)?

``spec`` says what is run, ``protocol`` draws the prompts and asks the models, ``context`` holds the models and
finetunes them, ``steps`` are those of a run.  ``scoring``, ``predictions``, ``calibration`` and ``shift`` turn answers
into numbers, ``companion`` probes the model's activations for the same predictions, ``summary`` makes the tables,
``claims`` says what held; ``report``, ``figures`` and ``views`` show it.
"""
