"""Pure decisions: no Ray, torch, HTTP or database. Production and the simulator run the same objects."""
