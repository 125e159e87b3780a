"""Conformance by generation: requests made from the facts of the service models, right and wrong, sent to the real
binary; the judge looks at the error's type, at the shape of the answer, and that no fault of ours is among them."""
