"""One message of a conversation with the LLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """What one side says. It is read literally: nothing in it is markup or a special token.

    Attributes:
        role: "system", "user" or "assistant", the LLM itself.
        content: the text.
    """

    role: Role
    content: str

    def __post_init__(self) -> None:
        """Refuse a role that no chat template knows, and content that is no text."""
        if self.role not in ROLES:
            raise ValueError(
                f"the role of a message is {self.role!r:.80}; expected one of {', '.join(ROLES)}"
            )
        if not isinstance(self.content, str):
            raise ValueError(
                f"the content of a {self.role} message is {self.content!r:.80} "
                f"({type(self.content).__name__}); expected a string, as the LLM reads text only"
            )
