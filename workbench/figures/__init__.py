"""From a result table to a Plotly figure: pure functions that compute no number which is not in the table."""
