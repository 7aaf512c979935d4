"""Templates: what is filled in, what is refused and where, and that no event makes one fail silently."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import TemplateError
from hookline.webhooks import templates
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.template_formats import MissingValue
from hookline.webhooks.templates import MAX_BYTES, ROOM, check_template, compile_template, example, template_text

pytestmark = pytest.mark.unit

DATA: dict[str, Any] = {
    "order": {
        "number": "10042",
        "note": None,
        "total": {"amount_minor": 11110, "currency": "EUR"},
        "lines": [
            {"title": "Shirt", "quantity": 2, "tags": ["a", "b"], "weight": 1.5},
            {"title": "<Socks> & more", "quantity": 1, "tags": [], "weight": 2.0},
        ],
        "paid": True,
        "attributes": {"gift wrap": "no"},
    },
    "yen": {"amount_minor": 1200, "currency": "JPY"},
    "dinar": {"amount_minor": -5, "currency": "KWD"},
}


def event(**more: Any) -> dict[str, Any]:
    """Return an event as the usual body says it."""
    return {"id": "evt_1", "type": "order.created", "timestamp": "2026-03-14T09:26:53.589793Z", "store_id": "shop", "data": DATA, **more}


def filled(value: Any, **more: Any) -> Any:
    """Return what a template of one text sends."""
    return json.loads(compile_template(template_text({"v": value})).fill(event(**more), 0).body)["v"]


FILLED: dict[str, Any] = {
    # a text that is one placeholder keeps the type
    "${data.order.number}": "10042",
    "${ data.order.total.amount_minor }": 11110,
    "${data.order.paid}": True,
    "${data.order.note}": None,
    "${data.order.total}": DATA["order"]["total"],
    "${data}": DATA,
    "${data.order.lines[1].title}": "<Socks> & more",
    "${data['order']['attributes']['gift wrap']}": "no",
    "${timestamp}": "2026-03-14T09:26:53.589793Z",
    # text around it: values are written out
    "Order ${data.order.number}!": "Order 10042!",
    "${data.order.number} ": "10042 ",
    "${id} ${type} ${store_id}": "evt_1 order.created shop",
    "n=${data.order.total.amount_minor} p=${data.order.paid} e=${data.order.note}.": "n=11110 p=true e=.",
    "w=${data.order.lines[0].weight} ${data.order.lines[1].weight}": "w=1.5 2",
    "t=${data.order.total}": 't={"amount_minor":11110,"currency":"EUR"}',
    # what is no placeholder
    "$${data.order.number}": "${data.order.number}",
    "cost: $5 {x} $": "cost: $5 {x} $",
    "$$${id}": "$${id}",
    # CEL
    "${data.order.total.amount_minor / 100}": 111,
    "${data.order.total.amount_minor > 100 ? 'large' : 'small'}": "large",
    "${data.order.lines.map(l, l.title)}": ["Shirt", "<Socks> & more"],
    "${data.order.lines.exists(l, l.quantity > 1) && type == 'order.created'}": True,
    "${data.order.lines.filter(l, l.quantity > 1)}": DATA["order"]["lines"][:1],
    "${data.order.lines.map(l, l.tags.exists(t, t == 'b'))}": [True, False],
    "${data.order.lines.map(l, l)}": DATA["order"]["lines"],
    "${data.order.lines.size() + size(data.order.number)}": 7,
    "${{'a': data.order.number, '}': 1}}": {"a": "10042", "}": 1},
    "${has(data.order.discount) ? data.order.discount : 'none'}": "none",
    "${data.order.paid || data.order.nothing.at.all}": True,
    "${data.order.paid ? 'x' : data.order.nothing}": "x",
    "${timestamp(timestamp) + duration('1h')}": "2026-03-14T10:26:53.589793Z",
    "${duration('90s')}": "90s",
    "${'a | b'} ${'}'}": "a | b }",
    "${null}": None,
    # formats
    "${data.order.total | money}": "111.10 EUR",
    "${data.yen | money} ${data.dinar | money}": "1200 JPY -0.005 KWD",
    "${data.order.note | money}": "",
    "${data.order.lines.map(l, l.title) | join | slack}": "Shirt, &lt;Socks&gt; &amp; more",
    "${data.order.lines.map(l, l.title) | join('\n')}": "Shirt\n<Socks> & more",
    "${data.order.lines[1].title | cut(7)}": "<Socks…",
    "${data.order.lines[1].title|cut(14)}": "<Socks> & more",
    "${'*a*_b_ [c](d) @e' | markdown}": r"\*a\*\_b\_ \[c\]\(d\) \@e",
    "${'a\\r\\n\\u2028 b' | line}|${'a\\nb' | slack}|${'a\\n# b' | markdown}": "a b|a b|a \\# b",
    "${'*a* _b_ ~c~ `d`' | mrkdwn}": "\u2217a\u2217 \uff3fb\uff3f \u223cc\u223c \u02cbd\u02cb",
    "${'> <https://e.example/f|g>' | mrkdwn}": "\u203a &lt;https:\u2215\u2215e.example/f|g\u203a",
    "${data.order.lines | count}": 2,
    "${data.order.total.amount_minor | text}": "11110",
    "${data.order.lines | each('{quantity} x {title | cut(3)}: ') | join}": "2 x Sh…: , 1 x <S…: ",
    "${data.order.lines | first(1) | each('{tags | join}{title}')}": ["a, bShirt"],
    "${data.order.lines | each('x')}": ["x", "x"],
    "${data.order.lines | first(1) | each('{title}\n{quantity}') | join}!": "Shirt\n2!",
}


@pytest.mark.parametrize("text", FILLED)
def test_a_placeholder_is_filled_in(text: str) -> None:
    """One that is the whole text keeps its type, in any other text its value is written out; formats make it fit for people."""
    assert filled(text) == FILLED[text]


def test_the_rest_is_sent_as_it_is() -> None:
    """Keys are literal, numbers, null and the order of keys stay; nothing is left out."""
    tree = {"${id}": 1, "b": [1.5, None, True, {"a": [], "": {}}], "a": "ü", "n": -(2**63)}
    assert (
        compile_template(template_text(tree)).fill(event(), 0).body == json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    )


BAD: dict[str, tuple[str, str]] = {
    "slak": ("There is no preset 'slak'", "template"),
    '{"a": ': ("no JSON: Expecting value", "template"),
    '{"a": ${id}}': ("no JSON", "template"),
    '{"a": 1, "a": 2}': ("'a' stands twice", "template"),
    '{"a": NaN}': ("NaN is no JSON", "template"),
    '{"a": 1e999}': ("no JSON: Out of range", "template"),
    '{"a": 123456789012345678901234567890}': ("cannot be sent", "template.a"),
    '{"a": "\\ud800"}': ("cannot be sent", "template.a"),
    '{"a": "' + "x" * MAX_BYTES + '"}': ("longer than", "template"),
    "[" * 40 + "]" * 40: ("more than 32 levels", "template"),
    "[" * 9_000: ("more than 32 levels|no JSON", "template"),
    '{"a": {"b": ["x", "${id"]}}': ("has no closing }", "template.a.b[1]"),
    '{"a": "${}"}': ("no CEL", "template.a"),
    '{"a": "${data.order.}"}': ("the placeholder is no CEL at position 12", "template.a"),
    '{"a": "${nope}"}': ("uses 'nope', which is not there: use id, type, timestamp, store_id, data", "template.a"),
    '{"a": "${foo(data)}"}': ("calls 'foo'", "template.a"),
    '{"a": "${id | shout}"}': ("no format 'shout'", "template.a"),
    '{"a": "${id | cut}"}': ("cut takes a number", "template.a"),
    '{"a": "${id | each}"}': ("no format 'each'", "template.a"),
    """{"a": "${id | each('{a b}')}"}""": ("{a b} names no field", "template.a"),
    """{"a": "${id | each('{a | shout}')}"}""": ("no format 'shout'", "template.a"),
    '{"a": "${id' + "|text" * 9 + '}"}': ("more than 8 formats", "template.a"),
    """{"a": "${id | each('""" + "{a}" * 21 + """')}"}""": ("more than 20 fields", "template.a"),
    """{"a": "${id | join('""" + "-" * 65 + """')}"}""": ("join takes up to 64", "template.a"),
    '{"a": "${id | cut(0)}"}': ("cut takes a number", "template.a"),
    '{"a": "${data.a.exists(a, data.a.exists(b, data.a.exists(c, data.a.exists(d, true))))}"}': ("too costly", "template.a"),
    '["' + "${id}" * 101 + '"]': ("more than 100 placeholders", "template"),
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:50]))
def test_a_bad_template_is_refused_with_its_place(text: str) -> None:
    """What cannot be a template is refused when it is saved: what is wrong, and the path of the text."""
    said, field = BAD[text]
    with pytest.raises(TemplateError, match=said) as refused:
        template_text(text)
    assert refused.value.field == field


REMEDIES: dict[str, str] = {
    '{"a": ${id}}': "Write CEL in quotes",
    '{"a": data.order.number}': "Write CEL in quotes",
    '{"n": "${id}", "a": size(data.x)}': "Write CEL in quotes",
    '{"a": "${data["order"].number}"}': "in single quotes",
    '{"a": 1,}': "commas",
    '{"a": True}': "commas",
    '{"a": "${id}" "b": 1}': "commas",
    '{"a": "${id}"': "commas",
}


@pytest.mark.parametrize("text", REMEDIES)
def test_what_is_no_json_is_told_with_what_to_do(text: str) -> None:
    """CEL is spoken of only where the mistake is in CEL."""
    with pytest.raises(TemplateError, match="is no JSON") as refused:
        template_text(text)
    assert REMEDIES[text] in refused.value.remedy


@pytest.mark.parametrize("text", ['{"a": "${id}"}', "slack"])
def test_a_byte_order_mark_at_the_start_is_no_part_of_a_template(text: str) -> None:
    """Some editors put one into files."""
    assert template_text("\ufeff" + text) == template_text(text)


FAILS: dict[str, str] = {
    "${data.order.numbr}": "the event has no data.order.numbr",
    "${data.order.note.x}": "the event has no data.order.note.x",
    "${data.order.lines[7]}": r"no data.order.lines\[7\]",
    "${data.order.number[0]}": "no data.order.number",
    "${data.order.numbr + 'x'}": "has no field 'numbr'",
    "${data.order.lines.map(l, l.colour)}": "has no field 'colour'",
    "${data.order.number + 1}": "values of different kinds together",
    "${1 / (data.order.total.amount_minor - 11110)}": "divides by zero",
    "${double(data.order.total.amount_minor) / 0.0}": "infinite",
    "${[[double(data.order.total.amount_minor) / 0.0]]}": "infinite",
    "${b'x'}": "its value is no JSON",
    "${{1: 2}}": "its value is no JSON",
    "${data.order.number | money}": "money needs an amount",
    "${data.order.number | join}": "join needs a list",
    "${data.order.number | first(2)}": "first needs a list",
    "${data.order.number | each('{a}')}": "each needs a list",
    "${data.order.lines | each('{title} {colour.name}')}": "an item has no colour.name",
    "${data.order.paid | count}": "count needs a list",
    "${data.order.paid.size()}": "has no size",
}


@pytest.mark.parametrize("text", FAILS)
def test_a_placeholder_that_fails_is_an_error_that_names_it(text: str) -> None:
    """Nothing is sent in place of a value that is not there or that JSON cannot say: no null, no empty text."""
    with pytest.raises(TemplateError, match=FAILS[text]) as failed:
        filled(text)
    assert failed.value.field == "template.v"
    assert failed.value.message.startswith("template.v, ${")


def test_a_placeholder_that_stands_twice_is_asked_once_for_each_event() -> None:
    """The second has the first one's value; the next event has its own; one that fails fails each time."""
    template = compile_template(template_text(["${data.n + 1}", "${data.n + 1}", "n ${data.n + 1}"]))
    assert [template.fill(event(data={"n": n}), 0).body for n in (1, 5)] == [b'[2,2,"n 2"]', b'[6,6,"n 6"]']
    for _ in range(2):
        with pytest.raises(MissingValue):
            template.fill(event(data={}), 0)


def test_a_body_has_a_largest_size() -> None:
    """A template may add so much to an event and no more, however often it repeats it."""
    large = event(data={"x": "y" * 100_000})
    template = compile_template(template_text(["${data}"] * 3))
    with pytest.raises(TemplateError, match="larger than 262,144 bytes"):
        template.fill(large, 0)
    assert len(template.fill(large, 100_000).body) > ROOM


@pytest.mark.parametrize(
    "text",
    [
        "${data.x | markdown | markdown | markdown | markdown | markdown | markdown | markdown | markdown}",
        "${data.x | slack | slack | slack | slack | slack | slack | slack | slack}",
        "${data.l | each('{x}{x}{x}{x}{x}{x}{x}{x}') | join}",
        "${data.l | each('{x | markdown | markdown | markdown | markdown | markdown | markdown | markdown | markdown}') | count}",
        "${data.x" + " + data.x" * 20 + "}",
    ],
    ids=["markdown", "slack", "each", "markdown in each", "sums in CEL"],
)
def test_no_text_grows_without_end(text: str) -> None:
    """Formats and sums that make a long text longer, each of them again, end with an error and little memory."""
    long = "&*" * 50_000
    one = event(data={"x": long, "l": [{"x": long}] * 50})
    template = compile_template(template_text({"v": text}))
    tracemalloc.start()
    with pytest.raises(TemplateError, match=r"characters|larger than|too large"):
        template.fill(one, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_all_placeholders_share_one_budget() -> None:
    """So that a template of many costly ones stalls nobody: an event that is too large for them is refused."""
    template = compile_template(template_text([f"${{data.a.exists(x, data.a.exists(y, x == y + '{number}'))}}" for number in range(50)]))
    template.fill(event(data={"a": ["x"] * 3}), 0)
    with pytest.raises(TemplateError, match="too large for what is asked"):
        template.fill(event(data={"a": ["x"] * 150}), 0)


@pytest.mark.parametrize(
    "text",
    [
        "${data.name" + "|markdown" * 7 + "|cut(1)}",
        "${data.list | each('" + "{name|markdown|markdown|markdown|markdown|cut(1)}" * 20 + "')}",
        "${data.more | join}${data.more | join}",
        "${data}${data}",
    ],
)
def test_formats_share_one_budget_too(text: str) -> None:
    """What is made and cut away again counts: a template of a hundred such stalls the loop for milliseconds, not for seconds."""
    hostile = event(data={"name": "\\" * 8_000, "list": [{"name": "\\" * 500}] * 200, "more": ["x" * 1_000] * 250})
    template = compile_template(
        template_text([text.replace("}", " " * number + "}", 1) for number in range(45)][: 1 + 14_000 // len(text)])
    )

    def cost() -> float:
        began = time.thread_time()
        with pytest.raises(TemplateError, match=r"characters|larger than"):
            template.fill(hostile, 300_000)
        return time.thread_time() - began

    assert min(cost() for _ in range(3)) < 0.25


@given(st.text(max_size=60))
def test_any_text_is_refused_or_filled(text: str) -> None:
    """Whatever is typed between the quotes: a template error, or JSON."""
    try:
        made = template_text({"v": text})
    except TemplateError:
        return
    try:
        body = compile_template(made).fill(event(), 0).body
    except TemplateError:
        return
    assert "v" in json.loads(body)


@given(st.text(max_size=200))
def test_no_value_breaks_out_of_its_text(value: str) -> None:
    """Whatever a customer is called, the body is JSON with that name in its place; for Slack none of it is a mention or a link."""
    named = event(data={"name": value})
    for text, wanted in (("${data.name}", value), ("x${data.name}", f"x{value}")):
        body = compile_template(template_text({"v": text, "w": 1})).fill(named, 0).body
        assert json.loads(body) == {"v": wanted, "w": 1}
    assert not {"<", ">"} & set(filled("${data.name | slack}", data={"name": value}))


# ---- how it is stored ----


def test_it_is_stored_in_one_form() -> None:
    """Typed in one line, given as an object or typed with other spaces it is the same; a preset is its name; nothing is empty."""
    one = '{\n  "a": "${id}",\n  "b": [\n    1\n  ]\n}'
    assert template_text('{"a":"${id}","b":[1]}') == template_text({"a": "${id}", "b": [1]}) == template_text(one) == one
    assert template_text(" slack ") == "slack"
    nothing: list[object] = ["", None, {}]
    assert [template_text(none) for none in nothing] == ["", "", ""]
    assert compile_template(one) is compile_template(one)


def test_what_no_event_of_a_type_has_is_refused_for_that_type() -> None:
    """A template for several types must fit each of them: a field that one lacks would fail on each of its events."""
    text = template_text({"v": "${data.order.number}"})
    check_template(text, ["order.created", "order.approved"])
    with pytest.raises(MissingValue, match=r"example of customer\.created") as refused:
        check_template(text, ["order.created", "customer.created"])
    assert refused.value.field == "template.v"
    check_template(template_text({"v": "${has(data.order) ? data.order.number : ''}"}), ["order.created", "customer.created"])


@pytest.mark.parametrize(
    ("text", "said"), [("${data.order.number | money}", "money needs an amount"), ("${1/0}", "divides by zero"), ("${b'x'}", "no JSON")]
)
def test_what_fails_on_the_examples_of_all_types_is_refused(text: str, said: str) -> None:
    """Every delivery would fail. The error says on which example, and how."""
    for names in (["order.created"], ["order.created", "order.approved"]):
        with pytest.raises(TemplateError, match=rf"{said}.*\(tried on the example of order\.created") as refused:
            check_template(template_text({"v": text}), names)
        assert refused.value.field == "template.v"


def test_what_fails_on_some_examples_only_is_kept() -> None:
    """Another event may fit, and one type does."""
    text = template_text({"v": "${1 / (type == 'order.created' ? 0 : 1)}"})
    check_template(text, ["order.created", "order.approved"])
    with pytest.raises(TemplateError, match="divides by zero"):
        check_template(text, ["order.created"])


def test_a_change_of_the_event_is_no_change_of_the_template() -> None:
    """Filling in leaves the event as it was: the next webhook gets it whole."""
    one = event()
    before = json.dumps(one)
    compile_template(template_text(["${data}", "${data.order.lines.map(l, l.title)}"])).fill(one, 0)
    assert json.dumps(one) == before


def test_an_example_is_an_event() -> None:
    """What templates are tried on at saving has what an event has."""
    assert set(example("order.created")) == set(event())
    assert templates.example("order.created", "mine")["store_id"] == "mine"


# ---- what docs/templates.md says ----


def test_the_documentation_is_right() -> None:
    """Its example can be saved for orders, and its tables have every preset and every format."""
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text("utf-8")
    [text] = re.findall(r"```json\n(.*?)\n```", page, re.DOTALL)
    check_template(template_text(text), ["order.created"])
    sent = json.loads(compile_template(template_text(text)).fill(example("order.created"), 0).body)
    assert (sent["text"], sent["large"], sent["lines"][0]) == ("Order 10042: 111.10 EUR", True, "2 x Merino T-shirt")
    named = re.findall(r"^\| `([a-z-]+)[^`]*`", page, re.MULTILINE)
    assert set(PRESETS) <= set(named)
    with pytest.raises(TemplateError) as refused:
        template_text({"a": "${id | nothing}"})
    assert set(re.findall(r"(?:are |, )([a-z]+)", refused.value.remedy)) == set(named) - set(PRESETS) | {"slack"}
