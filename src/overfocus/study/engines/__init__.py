"""Where the runs of a study are computed: processes here, a Ray cluster, Slurm."""
