"""A caller's grammar: what is bounded comes through, and what would hurt the engine does not."""

from __future__ import annotations

import time

import pytest

from runner.chat.grammar import check_grammar
from runner.errors import InvalidRequestError


def chain(links: int, around: str = "{}", first: str = "start: r0\n", colon: str = ":") -> str:
    """Rules of which each refers to the next."""
    rules = [f"r{i}{colon} " + around.format(f"r{i + 1}") for i in range(links - 2)]
    return first + "\n".join([*rules, f'r{links - 2}{colon} "x"'])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "x" * (128 * 1024 + 1),
        "root ::= " + "(" * 201 + '"a"' + ")" * 201,
        'root ::= "a"{1,1001}',
        'root ::= "a"{ # so many\n 1001}',
        'root ::= [a\n"] ' + "(" * 201,
        "root ::= r # a comment that a carriage return ends\r" + "(" * 201,
        'start: "a"{2000}',
        'start: "a"{,2000}',
        'start: "a"{+2000}',
        'start: "a"{00000000000000002000}',
        'start: "a" ~ 5..1001',
        "start: /a{3,1001}/",
        "start: /a{0000000000001001}/",
        'start: /"/ ' + '( ")" ' * 201,
        "start: " + "[" * 201,
        'start: A\nA: /a/ & /[a-z]/ & "a"',
        'start: A /b\n"/ & /c/',
        'start: A <|"|> & /c/',
        "start: A # / \nA: B & C // /",
        "start: A\nA: ~(~/a/ | ~/b/)",
        'start: r::0\nr::_: r::incr(_) | "x"',
        '%llguidance {"no_forcing": false}\nstart: "a"',
        'start: %json {"minLength": 1}',
        'start: %regex {"substring_chars": "abc"}',
    ],
)
def test_a_grammar_without_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_grammar(text)
    assert caught.value.param == "grammar"


@pytest.mark.parametrize("is_lark", [True, False])
def test_a_thousand_rules_may_stand_in_a_grammar(is_lark: bool) -> None:
    shape = {} if is_lark else {"first": "root ::= r0\n", "colon": " ::="}
    assert check_grammar(chain(1000, **shape)) == ("lark" if is_lark else "gbnf")
    with pytest.raises(InvalidRequestError, match="1001 rules"):
        check_grammar(chain(1001, **shape))


def test_a_chain_of_nested_rules_is_as_deep_as_all_of_them() -> None:
    assert check_grammar(chain(252, '("a" ("b" ("c" ("d" {}))))'))
    with pytest.raises(InvalidRequestError, match="1004 levels"):
        check_grammar(chain(253, '("a" ("b" ("c" ("d" {}))))'))
    assert check_grammar("\n".join(f'r{i}: ("a") ("b") ("c")' for i in range(999)))


@pytest.mark.parametrize("part", ["r ", "r* ", '"a"? ', "| "])
def test_what_makes_long_rows_is_counted(part: str) -> None:
    assert check_grammar("start: " + part * 1600)
    with pytest.raises(InvalidRequestError, match="10000 parts"):
        check_grammar("start: " + part * 10_001)


def test_words_in_their_thousands_and_everything_usual_may_be_said() -> None:
    assert check_grammar("root ::= " + "|".join(f'"word{i}"' for i in range(9000))) == "gbnf"
    usual = (
        '%import common.INT\n%ignore / +/\nstart: a ~ 2..3 | "&%json::"i? [B]\n'
        "a[lazy]: <|im_end|> B{2,} // & :: %json\nB: /&::%json{2}/ & # ~\n"
    )
    assert check_grammar(usual.replace("& #", "~/x/ #")) == "lark"
    with pytest.raises(InvalidRequestError, match="intersections"):
        check_grammar(usual)


@pytest.mark.parametrize(
    "filler",
    ["\n", " \n", '"', '"\\', "a ", "{1 ", "/", "a-", "<", "/\\\n", "~ ", "5" * 2000, "#/"],
)
def test_a_long_text_is_read_in_one_go(filler: str) -> None:
    """Quadratic reading would take minutes here."""
    begun_s = time.process_time()
    with pytest.raises(InvalidRequestError):
        check_grammar((filler * (128 * 1024 // len(filler)))[:-1] + "&%json")
        raise InvalidRequestError("what it says stands in a comment or a string")
    assert time.process_time() - begun_s < 1


def test_what_stands_in_quotes_is_not_counted() -> None:
    assert check_grammar('root ::= "' + "(" * 300 + '{5000}" [(]{2}') == "gbnf"
    assert check_grammar("start: /" + "(" * 300 + "/ // {5000}") == "lark"
