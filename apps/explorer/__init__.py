"""The explorer: a Streamlit app that shows run folders and reads nothing else."""
