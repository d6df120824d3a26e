"""Many processes train one model: meshes of ranks, and how model and batches lie on them."""
