"""How `smollm2` is built: its texts, its training rows, its training and its model card."""
