"""A whole answer through the chain, from the first that gives one; a document that does not fit is repaired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from services.llm.chain import Chain
from services.llm.documents import check_completion
from services.llm.errors import ErrorType, LLMError, PartialError
from services.llm.limits import Slot
from services.llm.link import Link
from services.llm.patience import size_of
from services.llm.run import Run, Try
from services.llm.types import Answer, ChatRequest, Completion, Finish, Message, Role

REPAIR = "That document cannot be used: {problem}\nAnswer again with the corrected document and nothing else."

Validate = Callable[[str], str | None]
"""Why a text is not what was asked for; None when it is."""


class Whole:
    """One request's way to a whole answer. `validate` looks at what the schema alone cannot tell."""

    def __init__(self, run: Run, request: ChatRequest, chain: Chain, *, validate: Validate | None = None) -> None:
        self._run = run
        self._request = request
        self._chain = chain
        self._validate = validate

    async def answer(self) -> Answer:
        """The answer of the first provider that can give one. Raises `LLMError`."""
        run, chain = self._run, self._chain
        for link, followed in chain.usable(run, await chain.eligible(run, self._request)):
            async with chain.permit(run, link, followed=followed) as slot:
                if slot is None:
                    continue
                answer = await self._ask(link, slot, followed)
                if answer is not None:
                    return answer
        raise run.failed()

    async def _ask(self, link: Link, slot: Slot, followed: bool) -> Answer | None:
        """One attempt, and as many more at the same provider as the request allows for repairs."""
        run, request = self._run, self._request
        for repair in range(self._request.repairs + 1):
            completion: Completion | None = None
            dropped = link.provider.dropped(request)
            async with run.attempt(link, slot, dropped=dropped, repair=repair > 0) as current:
                completion = await self._complete(link, slot, request, current, followed)
                self._check(completion, link)
            if completion is not None and current.error is None:
                return run.answer(link, completion)
            mended = self._mended(completion, current.error)
            if mended is None or await self._chain.refusal(run, mended, link) is not None:
                return None
            request = mended
        return None

    def _check(self, completion: Completion, link: Link) -> None:
        check_completion(self._request, completion, provider=link.name)
        problem = self._validate(completion.text) if self._validate else None
        if problem:
            raise PartialError(problem, text=completion.text, provider=link.name, type=ErrorType.BAD_RESPONSE)

    def _mended(self, completion: Completion | None, error: LLMError | None) -> ChatRequest | None:
        """The request that shows the model what was wrong; None where that cannot help."""
        if completion is None or completion.finish is Finish.LENGTH or not isinstance(error, PartialError):
            return None
        said = Message(role=Role.ASSISTANT, content=self._request.prefill + completion.text)
        told = Message(role=Role.USER, content=REPAIR.format(problem=error.detail))
        return replace(self._request, messages=(*self._request.messages, said, told), prefill="")

    async def _complete(self, link: Link, slot: Slot, request: ChatRequest, current: Try, followed: bool) -> Completion:
        run = self._run
        size = size_of(request, stream=False)
        limit_s = self._chain.share_of_time(run, followed=followed)
        if followed:
            limit_s = await link.first_token_limit_s(size, room_s=limit_s)
        spent_s = run.clock() - current.started  # on asking whether the model is loaded
        try:
            async with asyncio.timeout(limit_s - spent_s):
                completion = await link.provider.chat(current.traced(request))
        except TimeoutError as exc:
            if not followed:
                raise run.out_of_time(link.name) from exc
            raise link.silent(size, run.clock() - current.started) from exc
        current.usage, current.finish = completion.usage, completion.finish
        seconds = run.clock() - current.started
        tokens = completion.usage.completion_tokens or 1
        link.patience.took(size, seconds)
        slot.answered(("per token", size.prompt, tokens.bit_length()), seconds / tokens)
        return completion
