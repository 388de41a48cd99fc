"""docs/policy.md holds every rule and every key of a policy as the program has them; ``make docs`` writes them anew."""

from __future__ import annotations

import json
import re
from pathlib import Path

from audit.policy import BUILT_IN, check_policy, explain_policy
from audit.policy_tables import RULES
from tests.cases.policies import LEAST

PAGE = Path(__file__).parent.parent / "docs" / "policy.md"


def rows_of_rules() -> list[str]:
    """Write the table of rules."""
    rows = []
    for rule in RULES.values():
        default = check_policy(LEAST, "least").level(rule.id) if rule.key and "." in rule.id else ""
        waivable = "yes" if rule.waivable else "no"
        rows.append(f"| `{rule.id}` | {rule.title} | {', '.join(rule.levels)} | {default} | {waivable} |")
    return rows


def rows_of_keys() -> list[str]:
    """Write the table of keys: each value that holds where a policy says nothing."""
    rows = []
    for path, value, origin, about in explain_policy(check_policy(LEAST, "least")):
        default = f"`{json.dumps(value)}`" if origin == BUILT_IN else "must be given"
        rows.append(f"| `{'.'.join(map(str, path))}` | {default} | {about} |")
    return rows


def update_page(text: str) -> str:
    """Return the text of the page with the rows of the program in its two tables."""
    for head, rows in (("rule", rows_of_rules()), ("key", rows_of_keys())):
        table = re.compile(rf"(^\| {head} \|.*\n\|[-|]+\n)(?:\|.*\n)*", re.M)
        text = table.sub(lambda match, rows=rows: match[1] + "".join(f"{row}\n" for row in rows), text)  # type: ignore[misc]
    return text


def test_the_page_has_every_rule_and_every_key() -> None:
    text = PAGE.read_text()
    assert len(rows_of_rules()) == len(RULES)
    assert rows_of_rules()[0] in text
    assert text == update_page(text), "make docs writes the tables anew"


if __name__ == "__main__":
    PAGE.write_text(update_page(PAGE.read_text()))
