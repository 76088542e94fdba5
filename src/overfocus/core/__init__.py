"""Values that travel: draws, targets, batches, boxes, and what may be asked about a head. Imports only torch."""
