"""PRIMUS (ICASSP 2025): configuration, model, losses, batches and the triplets that it is pretrained on."""
