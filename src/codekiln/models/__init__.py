"""Models: settings and presets, the dense decoder, weights in and out."""
