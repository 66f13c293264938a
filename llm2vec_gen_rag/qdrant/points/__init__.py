"""What a point holds: its id, the payload that both frameworks read, and the words of its text."""
