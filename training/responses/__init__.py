"""Responses: the LLM's own completions of unlabeled queries.

`local`: a loaded LLM writes them, greedily or by `sampling`. `remote`: a server writes them;
`endpoint` holds the settings of its client, `chat_completions`. `file` and `shards`: where they are
written.
"""
