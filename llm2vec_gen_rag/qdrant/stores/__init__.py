"""The frameworks' own Qdrant stores, on a collection of ours."""
