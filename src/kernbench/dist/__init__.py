"""``torch.distributed``: process groups, calls, workers, and the backend that runs collectives on PEs."""
