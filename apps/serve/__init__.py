"""``workbench serve``: a language model over HTTP, in the shapes of OpenAI's API, steered differently in each request.

One process, one model, one worker: requests that are in flight together, whatever vectors they carry, are rows of one
batch, which they join and leave between any two tokens.  Vectors and probes are those named when it was started.
"""
