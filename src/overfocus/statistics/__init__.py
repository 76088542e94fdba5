"""Numbers over seeds and images: estimates with intervals, paired comparisons, power, verdicts and their wording."""
