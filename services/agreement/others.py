"""The two clients in processes of their own: Locust, one for each block, and vLLM's, one for the whole comparison."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from services.agreement.direct import Target
from services.agreement.marks import AgreementError, Client, Marks

HERE = Path(__file__).parent
ENGINE_FILE = HERE.parents[1] / "bench" / "_engine.py"
LIMIT_S = 180.0
GOODBYE_S = 10.0
WARM_UP = -1


def locust_block(target: Target, env: Mapping[str, str]) -> list[Marks]:
    """Every prompt once, after a warm-up that is not counted. Raises `AgreementError`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts, raw = folder / "prompts.jsonl", folder / "raw.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in target.prompts))
        argv = [sys.executable, "-m", "locust", "-f", str(ENGINE_FILE), "--headless", "--only-summary"]
        argv += ["--users", str(target.in_flight), "--spawn-rate", str(target.in_flight), "--raw", str(raw)]
        argv += ["--rounds", "1", "--round-requests", str(len(target.prompts)), "--prompts", str(prompts)]
        argv += ["--engine-url", target.url, "--model", target.model, "--tokens", str(target.tokens)]
        clean = {k: v for k, v in env.items() if not k.startswith("LOCUST_")}
        try:
            done = subprocess.run(argv, env=clean, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as exc:
            raise AgreementError(f"{Client.LOCUST}: not done in {LIMIT_S:.0f} s") from exc
        if done.returncode:
            raise AgreementError(f"{Client.LOCUST}: {' | '.join(done.stderr.strip().splitlines()[-3:])}")
        return locust_marks(map(json.loads, raw.read_text().splitlines()))


def locust_marks(records: Iterator[Mapping[str, Any]]) -> list[Marks]:
    """The records of the one round that counts; milliseconds become seconds."""
    names = {"first_chunk_s": "first_chunk_ms", "first_token_s": "ttft_ms", "last_token_s": "last_token_ms"}
    names |= {"last_chunk_s": "last_chunk_ms", "end_s": "duration_ms"}
    return [
        Marks(
            **{ours: r[theirs] / 1000 for ours, theirs in names.items()}, tokens=r["llm"]["usage"]["completion_tokens"]
        )
        for r in records
        if r["round"] != WARM_UP
    ]


@dataclass(frozen=True, slots=True)
class VllmClient:
    """A running `vllm_client.py`."""

    process: subprocess.Popen[str]
    log: IO[str]
    version: str

    def block(self, target: Target) -> list[Marks]:
        """Every prompt once. Raises `AgreementError`."""
        assert self.process.stdin
        order = asdict(target)
        with contextlib.suppress(BrokenPipeError):  # it has died, which the missing answer tells better
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        return vllm_marks(_told(self.process, self.log))


def vllm_marks(result: Mapping[str, Sequence[Any]]) -> list[Marks]:
    """Its arrays as marks. Raises `AgreementError` where a request failed.

    Its first frame is the role; the gap after it leads to the first token. The frame that says why generation ended
    may hold text or not, so its last token is its last frame: late by at most that one gap.
    """
    wrong = [str(e).strip().splitlines()[-1] for e in result["errors"] if e]
    if wrong:
        raise AgreementError(f"{Client.VLLM}: {wrong[0]}")
    return [
        Marks(first_chunk_s=ttft, first_token_s=ttft + (gaps[0] if gaps else 0.0), last_token_s=latency,
              last_chunk_s=latency, tokens=tokens)
        for ttft, gaps, latency, tokens in zip(
            result["ttfts"], result["itls"], result["latencies"], result["output_lens"], strict=True
        )
    ]  # fmt: skip


@contextlib.contextmanager
def vllm_client(python: Path, env: Mapping[str, str]) -> Iterator[VllmClient]:
    """Ends when we do, because its stdin does. Raises `AgreementError`."""
    argv = [str(python), "-P", str(HERE / "vllm_client.py")]
    quiet = {**env, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=quiet,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield VllmClient(child, log, str(_told(child, log)["ready"]))
        finally:
            assert child.stdin
            assert child.stdout
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            try:
                child.wait(GOODBYE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()


def _told(process: subprocess.Popen[str], log: IO[str]) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        log.seek(0)
        said = " | ".join(log.read().strip().splitlines()[-3:]) or "nothing"
        raise AgreementError(f"{Client.VLLM}: its process ended; it said: {said}")
    found: dict[str, Any] = json.loads(line)
    return found
