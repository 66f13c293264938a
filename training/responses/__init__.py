"""Responses: the LLM's own completions of unlabeled queries, and answers brought from elsewhere.

`local`: a loaded LLM writes them, greedily or by `sampling`. `remote`: a server writes them;
`endpoint` holds the settings of its client, `chat_completions`. `brought`: rows bring their own;
`policy` and `policy_file`: a refusal policy does. `response`, `file` and `shards`: where they are
written.
"""
