"""The table of measured skills: their floors, and one row for each skill and kind of wording."""

from dataclasses import dataclass

UNSEEN_SHARE = 0.8
FLOORS: dict[str, float] = {
    "repeat": 0.97, "recall_system": 0.95, "recall_turns": 0.90, "tool_call": 0.95,
    "two_calls": 0.85, "no_call": 0.90, "tool_response": 0.95, "thinking": 0.98,
    "json_mode": 0.90, "agent_loop": 0.85,
}  # fmt: skip
REPORTED = (
    "long_text", "count", "repeat_times", "add", "spell", "uppercase", "list_three", "capital",
    "small_talk", "fallback", "recall_unknown",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    skill: str
    unseen: bool
    right: int
    count: int

    @property
    def score(self) -> float:
        return self.right / self.count

    @property
    def floor(self) -> float | None:
        """What the score must reach; None where it is only reported."""
        floor = FLOORS.get(self.skill)
        return floor * UNSEEN_SHARE if floor is not None and self.unseen else floor

    @property
    def passed(self) -> bool:
        return self.floor is None or self.score >= self.floor

    @property
    def key(self) -> str:
        return self.skill + ("_unseen" if self.unseen else "")

    def line(self) -> str:
        """The row as a line of a Markdown table."""
        floor = "" if self.floor is None else f"{self.floor:.1%}"
        verdict = "reported" if self.floor is None else "pass" if self.passed else "MISS"
        wording = "unseen" if self.unseen else "known"
        name = self.skill.replace("_", " ")
        return f"| {name} | {wording} | {self.count} | {self.score:.1%} | {floor} | {verdict} |"


HEADING = "| skill | wording | n | score | floor | verdict |\n|---|---|---:|---:|---:|---|"


def table(rows: list[Row]) -> str:
    """The whole table in Markdown."""
    return "\n".join([HEADING, *(row.line() for row in rows)])
