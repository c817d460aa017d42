"""Controllers and learners of internal RL: ``metacontroller``, its ``discovery`` and ``compile_segments``,
``supervised_control``, policies over codes (``internal_rl``), the ``learners``, and what trains them, ``reinforce``."""
