"""The ways in for people: the ``workbench`` command and the explorer in the browser.

Apps show what experiments returned and figures drew; they compute no result of their own.
"""
