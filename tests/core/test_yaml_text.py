import subprocess
import sys

import pytest
from dvc.utils.serialize import parse_yaml

from maskquery.core import yaml_text
from maskquery.core.errors import UserError

SPELLINGS = """
a: 1e-3
b: yes
c: 010
d: 0o10
e: 12:30
f: .3
g: null
h: [1_000, "1", +2, 1.]
i: {on: off, no: "yes"}
j: 2026-01-02
"""


def test_a_text_means_what_it_means_to_dvc() -> None:
    tree = yaml_text.parse(SPELLINGS, "params.yaml")
    assert tree == parse_yaml(SPELLINGS, "params.yaml")
    assert (tree["a"], tree["b"], tree["c"], tree["e"]) == (0.001, "yes", 10, "12:30")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "p.yaml line 3: the key 'a' is given twice"),
        ("a: [1, 2\n", "p.yaml line 2: expected ',' or ']'"),
        ("a: !!python/object:os.system x\n", "p.yaml line 1: could not determine a constructor"),
        ("a: \x07\n", "p.yaml: unacceptable character #x0007"),
        ("a: " + "9" * 5000, "p.yaml: Exceeds the limit (4300 digits)"),
        ("a: 2026-02-31", "p.yaml: day "),
        ("a: &x [*x]", "p.yaml: a value holds itself, through an alias (*)"),
        ("a: &x\n  b: [*x]", "p.yaml: a value holds itself, through an alias (*)"),
        ("[" * 3000 + "]" * 3000, "p.yaml: "),
    ],
)
def test_what_is_no_yaml_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        yaml_text.parse(text, "p.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused_at_once() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    code = "import sys; from maskquery.core import yaml_text; yaml_text.parse(sys.argv[1], 'p')"
    done = subprocess.run(
        [sys.executable, "-c", code, "\n".join(rows)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "it stands for more than 100000 values, through aliases" in done.stderr


def test_what_is_written_is_read_back() -> None:
    tree = {"a": [1, 0.5, "yes"], "b": {"ä: x": None, "long": "word " * 40}, "c": [], "d": "1e-3"}
    text = yaml_text.dump(tree)
    assert yaml_text.parse(text, "p.yaml") == tree
    assert "ä: x" in text
    assert max(map(len, text.splitlines())) > 200  # no line is folded
