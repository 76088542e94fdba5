"""Values that travel: keys, targets, batches, boxes, and the probe of a head. Imports only torch."""
