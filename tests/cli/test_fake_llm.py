"""The provider's double, asked by the real SDK and by hand."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

import anthropic
import httpx2
import pytest
from aar_cli.errors import BadFile
from aar_cli.fake_llm import play, script, server
from aar_cli.fake_llm.server import FakeLLM
from aar_cli.main import main

TOOL = {
    "name": "look", "description": "Look.", "strict": True,
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False},
}  # fmt: skip
PLAIN = """
system: {who: 'You are (\\w+)'}
tables: {place: {ann: 3, '*': 7}}
turns:
  - think: Hm.
    say: I look twice, %s.
    calls:
      - {tool: look, input: {at: 'a ${who} ${turn}'}, keep: {number: 'no. (\\d+)'}}
      - {tool: look, input: {at: '${place.who}'}}
  - calls: [{tool: look, input: {at: 'number ${number}'}}]
    again_while: pending
    most: 3
  - {say: never, needs: [nothing]}
  - say: Good bye.
""".replace("%s", "at great length " * 20)


@pytest.fixture
def double():
    """A running double of a script, with its SDK client."""
    running = []

    def start(text=PLAIN, retries=0):
        fake = FakeLLM(script.parse(text, "test"))
        context = server.serving(fake)
        running.append(context)
        client = anthropic.Anthropic(api_key="k", base_url=context.__enter__(), max_retries=retries)
        running.append(client)
        return fake, client

    yield start
    for one in reversed(running):
        one.__exit__(None, None, None)


def ask(**over):
    base = {
        "model": "claude-opus-5-5", "max_tokens": 1000, "system": "You are ann.", "tools": [TOOL],
        "thinking": {"type": "adaptive", "display": "summarized"}, "messages": [{"role": "user", "content": "Begin."}],
    }  # fmt: skip
    return base | over


def streamed(client, **over):
    with client.beta.messages.stream(**ask(**over)) as stream:
        return stream.get_final_message()


def result(message, *texts):
    calls = [block for block in message.content if block.type == "tool_use"]
    blocks = [
        {"type": "tool_result", "tool_use_id": call.id, "content": text}
        for call, text in zip(calls, texts, strict=True)
    ]
    return {"role": "user", "content": blocks}


def answered(message):
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


def test_plain_and_streamed_answers_are_the_same(double):
    _, client = double()
    plain = client.beta.messages.create(**ask())
    stream = streamed(client)
    assert [b.to_dict() for b in plain.content] == [b.to_dict() for b in stream.content]
    assert (plain.id, plain.stop_reason, plain.usage) == (stream.id, stream.stop_reason, stream.usage)
    assert [block.type for block in plain.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input for block in plain.content[2:]] == [{"at": "a ann 0"}, {"at": 3}]


def test_follows_the_script_by_what_the_results_say(double):
    _, client = double()
    history = ask()["messages"]
    said = []
    for texts in (["no. 41", "-"], ["pending"], ["done"]):
        message = streamed(client, messages=history)
        said.append([b.input["at"] for b in message.content if b.type == "tool_use"])
        history = [*history, answered(message), result(message, *texts)]
    assert said == [["a ann 0", 3], ["number 41"], ["number 41"]]
    last = streamed(client, messages=history)
    assert (last.content[0].text, last.stop_reason) == ("Good bye.", "end_turn")
    history = [*history, answered(last), {"role": "user", "content": "Go on."}]
    assert streamed(client, messages=history).content[0].text == "I have nothing more to do."


def test_a_turn_is_repeated_only_so_often(double):
    _, client = double()
    history = ask()["messages"]
    for texts in (["no. 1", "-"], ["pending"], ["pending"], ["pending"]):
        message = streamed(client, messages=history)
        history = [*history, answered(message), result(message, *texts)]
    assert streamed(client, messages=history).content[0].text == "Good bye."


def test_another_process_gives_the_same_answer(double):
    _, one = double()
    _, other = double()
    assert streamed(one).to_dict() == streamed(other).to_dict()


def test_thinking_is_shown_only_as_asked(double):
    _, client = double()
    assert streamed(client).content[0].thinking == "Hm."
    hidden = streamed(client, thinking={"type": "adaptive"})
    assert hidden.content[0].thinking == ""
    assert streamed(client, messages=[*ask()["messages"], answered(hidden), result(hidden, "no. 1", "")])


FAULTS = {
    "status": ("{kind: status, status: 529, times: 2, retry_after_ms: 1}", None, None),
    "rate limit": ("{kind: status, status: 429, retry_after_ms: 1}", None, None),
    "payment": ("{kind: status, status: 402}", anthropic.PaymentRequiredError, "billing_error"),
    "error in the stream": ("{kind: error, after: 4}", anthropic.APIStatusError, "overloaded_error"),
    "cut in the stream": ("{kind: cut, after: 4}", httpx2.RemoteProtocolError, None),
}


@pytest.mark.parametrize(("fault", "error", "kind"), FAULTS.values(), ids=FAULTS)
def test_faults_come_as_often_as_asked_and_then_the_turn(double, fault, error, kind):
    _, client = double(f"turns:\n  - say: Here I am.\n    fault: {fault}\n", retries=3)
    if error is not None:
        with pytest.raises(error) as caught:
            streamed(client)
        assert kind is None or caught.value.type == kind
    assert streamed(client).content[0].text == "Here I am."


def test_refusal_and_empty_turn(double):
    _, client = double(
        "turns:\n  - {say: Yes., fault: {kind: refusal, category: frontier_llm}}\n  - {say: Later., fault: {kind: empty}}\n"
    )
    refused = streamed(client)
    assert (refused.stop_reason, refused.stop_details.category, refused.content) == ("refusal", "frontier_llm", [])
    yes = streamed(client)
    history = [*ask()["messages"], answered(yes), {"role": "user", "content": "Go on."}]
    empty = streamed(client, messages=history)
    assert (empty.stop_reason, empty.content) == ("end_turn", [])
    assert streamed(client, messages=history).content[0].text == "Later."


def test_compaction_keeps_the_place_and_the_values(double):
    _, client = double()
    history = ask()["messages"]
    first = streamed(client)
    history = [*history, answered(first), result(first, "no. 8", "-")]
    betas = ["compact-2026-09-04"]
    compacted = streamed(client, messages=history, compaction={"type": "summarize"}, betas=betas)
    assert compacted.stop_reason == "compaction"
    assert compacted.usage.input_tokens == 0
    assert compacted.usage.iterations[0].type == "compaction"
    assert compacted.usage.iterations[0].input_tokens > 100
    block = compacted.content[0].to_dict()
    on = streamed(client, messages=[{"role": "assistant", "content": [block]}], betas=betas)
    assert on.content[0].input == {"at": "number 8"}
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        streamed(client, messages=[{"role": "assistant", "content": [block | {"content": "other"}]}], betas=betas)


def test_a_compaction_can_fail(double):
    _, client = double(PLAIN + "failing_compactions: 1\n")
    over = {"compaction": {"type": "summarize"}, "betas": ["compact-2026-09-04"]}
    assert [streamed(client, **over).content[0].content is None for _ in range(2)] == [True, False]


def test_usage_tells_what_the_cache_had(double):
    _, client = double()
    mark = {"type": "ephemeral", "ttl": "1h"}
    long = [{"role": "user", "content": "x" * 8000}]
    first = streamed(client, messages=long, cache_control=mark)
    assert first.usage.cache_creation_input_tokens > 2000
    assert first.usage.cache_creation.ephemeral_1h_input_tokens == first.usage.cache_creation_input_tokens
    then = streamed(client, messages=[*long, answered(first), result(first, "no. 1", "-")], cache_control=mark)
    assert then.usage.cache_read_input_tokens > 2000
    assert then.usage.cache_creation_input_tokens < 500
    assert streamed(client, messages=long).usage.input_tokens > 2000
    assert (
        client.beta.messages.count_tokens(
            **{k: v for k, v in ask(messages=long).items() if k != "max_tokens"}
        ).input_tokens
        > 2000
    )


def test_old_tool_results_are_cleared_when_asked(double):
    _, client = double()
    first = streamed(client)
    history = [*ask()["messages"], answered(first), result(first, "no. 1 " + "x" * 4000, "y" * 400)]
    edit = {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "input_tokens", "value": 500},
        "keep": {"type": "tool_uses", "value": 1},
    }
    over = {"messages": history, "betas": ["context-management-2025-06-27"], "context_management": {"edits": [edit]}}
    message = streamed(client, **over)
    assert message.context_management.applied_edits[0].cleared_tool_uses == 1
    assert message.usage.input_tokens < streamed(client, messages=history).usage.input_tokens - 900


GOOD = {"authorization": "Bearer k", "anthropic-version": "2026-10-21", "content-type": "application/json"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "x"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
USER, ASSISTANT = "user", "assistant"


def said(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def loose(**over):
    return {"tools": [TOOL | {"input_schema": TOOL["input_schema"] | over}]}


REFUSED = {
    "no key": ({"authorization": ""}, {}, 401, "a key is needed"),
    "no version": ({"anthropic-version": ""}, {}, 400, "anthropic-version"),
    "no model": ({}, {"model": None}, 400, "model: Field required"),
    "no max_tokens": ({}, {"max_tokens": None}, 400, "max_tokens: Field required"),
    "temperature": ({}, {"temperature": 0.5}, 400, "temperature: Extra inputs"),
    "thread": ({}, {"thread": {"id": "x"}}, 400, "thread"),
    "compaction without its beta": ({}, {"compaction": {"type": "summarize"}}, 400, "compact-2026-09-04"),
    "no messages": ({}, {"messages": []}, 400, "at least one message"),
    "begins with an answer": ({}, said((ASSISTANT, "Hi.")), 400, "first message must be the user's"),
    "ends with an answer": ({}, said((USER, "a"), (ASSISTANT, "b")), 400, "prefill"),
    "empty content": ({}, said((USER, [])), 400, "non-empty content"),
    "empty text": ({}, said((USER, [{"type": "text", "text": ""}])), 400, "must be non-empty"),
    "call without result": ({}, said((USER, "a"), (ASSISTANT, [CALL]), (USER, "b")), 400, "without `tool_result`: toolu_1"),
    "call at the end": ({}, said((USER, "a"), (ASSISTANT, [CALL])), 400, "without `tool_result` blocks: toolu_1"),
    "result without call": ({}, said((USER, [RESULT])), 400, "unexpected `tool_use_id`"),
    "result twice": ({}, said((USER, "a"), (ASSISTANT, [CALL]), (USER, [RESULT, RESULT])), 400, "unexpected `tool_use_id`"),
    "result after text": ({}, said((USER, "a"), (ASSISTANT, [CALL]), (USER, [{"type": "text", "text": "b"}, RESULT])), 400, "must come first"),
    "same id twice": ({}, said((USER, "a"), (ASSISTANT, [CALL]), (USER, [RESULT]), (ASSISTANT, [CALL]), (USER, [RESULT])), 400, "unique"),
    "altered thinking": ({}, said((USER, "a"), (ASSISTANT, [{"type": "thinking", "thinking": "b", "signature": "c"}]), (USER, "d")), 400, "signature"),
    "strict but open": ({}, loose(additionalProperties=True), 400, "'additionalProperties' must be false"),
    "strict and counting": ({}, loose(properties={"at": {"type": "string", "maxLength": 3}}), 400, "'maxLength' is not supported"),
    "too many optional": ({}, loose(properties={f"p{i}": {"type": "string"} for i in range(25)}, required=[]), 400, "optional parameters"),
    "same tool twice": ({}, {"tools": [TOOL, TOOL]}, 400, "unique"),
    "call to no tool": ({}, {"tools": []}, 400, "calls 'look'"),
    "unknown role": ({}, said(("robot", "a")), 400, "'robot' is none of"),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "body", "status", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_the_provider_refuses(double, headers, body, status, sentence):
    _, client = double()
    whole = {name: value for name, value in (ask() | body).items() if value is not None}
    request = urllib.request.Request(
        f"{client.base_url}/v1/messages".replace("//v1", "/v1"),
        json.dumps(whole).encode(),
        {k: v for k, v in (GOOD | headers).items() if v},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == status
        error = json.loads(answer.read())["error"]
    assert sentence in error["message"]
    assert error["type"] in ("invalid_request_error", "authentication_error")


BAD = {
    "no turns": ("turns: []", "turns"),
    "unknown word": ("turns: [{says: x}]", "turns.0.says"),
    "pattern without a group": ("turns: [{calls: [{tool: a, keep: {b: 'c'}}]}]", "0 groups"),
    "pattern that is none": ("turns: [{calls: [{tool: a, keep: {b: '('}}]}]", "is no regular expression"),
    "repeats from beyond the end": ("turns: [{say: a}]\nrepeat_from: 1", "repeat_from is 1"),
    "no YAML": ("turns: [", "is no YAML"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_script_is_one_sentence(text, sentence):
    with pytest.raises(BadFile, match=r"x\.yaml") as caught:
        script.parse(text, "x.yaml")
    assert sentence in str(caught.value)


def test_scripts_that_are_shipped_can_be_read():
    assert script.names() == ["cheating", "competent", "lazy"]
    assert all(len(script.load(name).turns) >= 7 for name in script.names())


def test_a_script_that_goes_round(double):
    _, client = double("turns:\n  - say: Once.\n  - calls: [{tool: look, input: {at: '${turn}'}}]\nrepeat_from: 1\n")
    history = ask()["messages"]
    first = streamed(client)
    history = [*history, answered(first), {"role": "user", "content": "Go on."}]
    seen = []
    for _ in range(4):
        message = streamed(client, messages=history)
        seen.append(message.content[0].input["at"])
        history = [*history, answered(message), result(message, "-")]
    assert seen == ["1", "2", "3", "4"]


def test_unknown_script_names_those_that_are_there(capsys):
    assert main(["fake-llm", "--script", "brilliant"]) == 2
    assert (
        "'brilliant' is neither a file nor a script that is shipped: use one of cheating, competent, lazy."
        in capsys.readouterr().err
    )


def test_port_in_use_is_said_plainly(double, capsys):
    _, client = double()
    assert main(["fake-llm", "--port", str(client.base_url.port)]) == 3
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["aar_cli.main", "fake-llm"], ["aar_cli.fake_llm", "--host", "0.0.0.0"]], ids=["aar", "in an image"]
)
def test_runs_as_a_command_until_it_is_told_to_stop(command):
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as child:
        line = child.stdout.readline()
        url = line.split()[0]
        with anthropic.Anthropic(api_key="k", base_url=url) as client:
            assert client.models.retrieve("claude-opus-5-5").id == "claude-opus-5-5"
        child.terminate()
        assert child.wait(20) == 0
    assert "plays competent" in line


def test_values_go_in_everywhere():
    filled = script.fill({"a": ["x ${n}", {"b": "${t.n}"}], "c": 3}, {"n": "5"}, {"t": {"*": 0.5}})
    assert filled == {"a": ["x 5", {"b": 0.5}], "c": 3}
    with pytest.raises(KeyError):
        script.fill("${gone}", {}, {})
    assert play.text_of([{"type": "text", "text": "a"}, {"type": "image"}]) == "a"
