"""What vLLM and Ollama do wrong in their own ways, met by a single request: `reference/engines.md` in data."""

from __future__ import annotations

from services.faults.expectations import (
    ANSWERS,
    BROKEN,
    BUSY,
    BY_FALLBACK,
    DOWN,
    ERROR,
    FALLS_BACK,
    MIDWAY,
)
from services.faults.judge import Ended, Expect, Mode
from services.faults.script import (
    Begin,
    Broken,
    Close,
    End,
    Hang,
    Page,
    Pieces,
    Ping,
    Refuse,
    Reset,
    Role,
    Wait,
    Words,
)
from services.faults.stage import Fault, Setup

MISCONFIGURED = Expect(ended=ERROR, kinds=frozenset({"config"}))
FILTERED = Expect(
    ended=frozenset({Ended.FILTERED, Ended.PARTIAL, Ended.ERROR}), most={Role.PRIMARY: 1, Role.FALLBACK: 0}
)
NOT_SENT = Expect(ended=ERROR, most={Role.PRIMARY: 1, Role.FALLBACK: 0})
COME_BACK = Expect(ended=ERROR, kinds=frozenset({"busy"}), retry_after_s=7.0)
OUT_OF_TIME = {Mode.CHAT: BY_FALLBACK, Mode.STREAM: BROKEN, Mode.RESCUE: BROKEN}

ENGINE_FAULTS: tuple[Fault, ...] = (
    Fault(
        id="refused",
        title="nobody listens",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(listens=False),
    ),
    Fault(
        id="key-refused",
        title="401",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(401, "Unauthorized"),)),
    ),
    Fault(
        id="wrong-model-name",
        title="vLLM: 404, served under another name",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Refuse(404, "The model `x` does not exist.", code=404),)),
    ),
    Fault(
        id="engine-core-dead",
        title="vLLM: EngineCore is dead, 500 after a while",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda d: Setup(primary=(Wait(d.stall_s / 2), Refuse(500, "EngineCore encountered an issue", code=500))),
    ),
    Fault(
        id="engine-core-killed-midway",
        title='vLLM: EngineCore is killed; `data: {"error"}`, then [DONE]',
        right="told as broken, or restarted; [DONE] does not make it whole",
        expects=MIDWAY,
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Broken())),
    ),
    Fault(
        id="error-event-first",
        title="vLLM: an error event before the first token",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Begin(), Broken())),
    ),
    Fault(
        id="no-finish",
        title="the stream ends politely, with [DONE] but without a finish reason",
        right="told as broken, or restarted",
        expects={Mode.STREAM: BROKEN, Mode.RESCUE: BY_FALLBACK, Mode.CONTINUE: BY_FALLBACK},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), End(finish=None))),
    ),
    Fault(
        id="role-only",
        title="vLLM: the role-only chunk, then silence",
        right="no first token, so the fallback answers",
        expects={Mode.STREAM: BY_FALLBACK},
        setup=lambda _: Setup(primary=(Begin(), Hang())),
    ),
    Fault(
        id="ping-only",
        title="keep-alive comments without end, no token",
        right="they do not count as tokens: the fallback answers",
        expects={Mode.STREAM: BY_FALLBACK},
        setup=lambda d: Setup(primary=(Begin(), Ping(d.stall_s / 10))),
    ),
    Fault(
        id="headers-only",
        title="headers, then nothing",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Begin(role=False), Hang())),
    ),
    Fault(
        id="half-body",
        title="half a JSON body, then FIN",
        right="the fallback answers",
        expects={Mode.CHAT: BY_FALLBACK},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Close())),
    ),
    Fault(
        id="html-200",
        title="an HTML page with 200",
        right="the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Page(),)),
    ),
    Fault(
        id="empty-answer",
        title="200, finish `stop`, no text",
        right="no answer, so the fallback answers",
        expects=FALLS_BACK,
        setup=lambda _: Setup(primary=(Begin(), End())),
    ),
    Fault(
        id="filtered-answer",
        title="200, a few words, finish `content_filter`",
        right="marked as filtered or told as an error; not taken around the refusal",
        expects={Mode.CHAT: FILTERED, Mode.STREAM: FILTERED, Mode.RESCUE: FILTERED, Mode.CONTINUE: FILTERED},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), End(finish="content_filter"))),
    ),
    Fault(
        id="schema-length",
        title="a schema was asked for; the document is cut at max_tokens",
        right="half a document is no answer: the fallback's whole one, or told as broken",
        expects={Mode.CHAT: BY_FALLBACK, Mode.STREAM: BROKEN, Mode.RESCUE: BY_FALLBACK},
        setup=lambda d: Setup(primary=(Begin(), Words(min(d.cut, 6)), End(finish="length"))),
        schema=True,
    ),
    Fault(
        id="split-characters",
        title="frames in pieces of 1 to 7 bytes, split inside UTF-8 characters and JSON",
        right="the primary's answer, every character right",
        expects=ANSWERS,
        setup=lambda _: Setup(primary=(Begin(), Pieces(7), Words(), End())),
    ),
    Fault(
        id="slow-within-limit",
        title="a slow first token, within the limit",
        right="waited for: the primary answers",
        expects=ANSWERS,
        setup=lambda d: Setup(primary=(Begin(), Wait(d.first_token_s * 0.6), Words(), End())),
    ),
    Fault(
        id="cold-load",
        title="vLLM is down, Ollama must load the model first",
        right="the last one is waited for, past every limit but the deadline",
        expects=FALLS_BACK,
        setup=lambda d: Setup(listens=False, fallback=(Wait(d.deadline_s * 0.6), Begin(), Words(), End())),
    ),
    Fault(
        id="slow-drip",
        title="tokens that never stall and never end in time",
        right="the deadline ends it",
        expects=OUT_OF_TIME,
        setup=lambda d: Setup(primary=(Begin(), Words(gap_s=d.stall_s * 0.7), End())),
    ),
    Fault(
        id="both-dead",
        title="nobody listens, anywhere",
        right="a typed error at once",
        expects={Mode.CHAT: DOWN, Mode.STREAM: DOWN},
        setup=lambda _: Setup(listens=False, fallback_listens=False),
    ),
    Fault(
        id="both-silent",
        title="both take the request and say nothing",
        right="a typed error within the deadline",
        expects={Mode.CHAT: DOWN, Mode.STREAM: DOWN},
        setup=lambda _: Setup(primary=(Hang(),), fallback=(Hang(),)),
    ),
    Fault(
        id="both-cut",
        title="both die in the middle",
        right="told as broken, in time; never a short or a mixed answer",
        expects={Mode.CHAT: DOWN, Mode.STREAM: BROKEN, Mode.RESCUE: BROKEN, Mode.CONTINUE: BROKEN},
        setup=lambda d: Setup(primary=(Begin(), Words(d.cut), Reset()), fallback=(Begin(), Words(d.cut), Close())),
    ),
    Fault(
        id="both-busy",
        title="429 with Retry-After 7, and 503",
        right="busy, with the Retry-After for the caller",
        expects={Mode.CHAT: COME_BACK, Mode.STREAM: COME_BACK},
        setup=lambda _: Setup(primary=(Refuse(429, "busy", retry_after_s=7),), fallback=(Refuse(503, "server busy"),)),
    ),
    Fault(
        id="ollama-queue-full",
        title="vLLM is down, Ollama's queue is full: 503",
        right="busy, not dead",
        expects={Mode.CHAT: BUSY, Mode.STREAM: BUSY},
        setup=lambda _: Setup(
            listens=False, fallback=(Refuse(503, "server busy, please try again. maximum pending requests exceeded"),)
        ),
    ),
    Fault(
        id="ollama-not-pulled",
        title="vLLM is down, Ollama has not pulled the model: 404",
        right="a typed error that names the set-up",
        expects={Mode.CHAT: MISCONFIGURED, Mode.STREAM: MISCONFIGURED},
        setup=lambda _: Setup(listens=False, fallback=(Refuse(404, 'model "x" not found, try pulling it first'),)),
    ),
    Fault(
        id="ollama-runner-dies",
        title="vLLM is down, Ollama's runner dies in the middle: an `error` line",
        right="told as broken",
        expects={Mode.CHAT: DOWN, Mode.STREAM: BROKEN},
        setup=lambda d: Setup(listens=False, fallback=(Begin(), Words(d.cut), Broken())),
    ),
    Fault(
        id="ollama-would-truncate",
        title="vLLM is down, the prompt does not fit Ollama's window",
        right="a typed error; Ollama, which would cut the prompt in silence, is not asked",
        expects={Mode.CHAT: NOT_SENT, Mode.STREAM: NOT_SENT},
        setup=lambda _: Setup(listens=False),
        prompt="The first coffee costs three euros. " * 500,
    ),
)
