"""What pages of the explorer are built of: the choice of a run, tabs, figures, tables, and long work in the background.

A family's views (``workbench.families.NAME.views``) import from here and never from the app that finds them.  Nothing
here knows a family or a world.
"""
