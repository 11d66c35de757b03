"""Texts into vectors of one named space. A provider of another space is never asked, whoever may be down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from services.llm.chain import Chain
from services.llm.errors import ConfigError
from services.llm.limits import Slot
from services.llm.link import Embedder, Link
from services.llm.patience import size_of_texts
from services.llm.run import Run
from services.llm.spaces import Embeddings, EmbeddingSpace, EmbedRequest, Vectors, check_request, check_vectors

Cut = Callable[[str], str]
"""Brings a text to the window of an alias's model."""


class Embedding:
    """One request's way to its vectors. Every link of `chain` serves the alias's one space, or does not embed."""

    def __init__(
        self, run: Run, request: EmbedRequest, chain: Chain, space: EmbeddingSpace | None, *, cut: Cut | None = None
    ) -> None:
        self._run = run
        self._cut = cut
        self._request = replace(request, request_id=run.request_id)
        self._chain = chain
        self._space = space

    async def vectors(self) -> Embeddings:
        """One vector per text. Raises `LLMError`; `ConfigError` for an alias without a space or a foreign one."""
        run, request = self._run, self._request
        if self._space is None:
            raise ConfigError(f"the alias {request.alias!r} embeds into no space; name one that does in models.toml")
        check_request(request, self._space)
        if self._space.prefix or self._cut:
            self._request = await asyncio.to_thread(_prepared, self._request, self._space.prefix, self._cut)
        able = [link for link in self._chain.links.values() if self._is_able(link)]
        run.route = replace(run.route, chain=tuple(link.name for link in able))
        for link, followed in self._chain.usable(run, able):
            async with self._chain.permit(run, link, followed=followed) as slot:
                if slot is None:
                    continue
                vectors = await self._embed(link, slot, self._space, followed)
                if vectors is not None:
                    duration_s = run.clock() - run.started
                    return Embeddings(
                        vectors=vectors.rows, space=self._space, provenance=run.provenance(link), duration_s=duration_s
                    )
        raise run.failed() if run.causes else ConfigError(f"no provider embeds {request.alias!r}")

    def _is_able(self, link: Link) -> bool:
        return isinstance(link.provider, Embedder) and link.provider.embeds(self._request.alias)

    async def _embed(self, link: Link, slot: Slot, space: EmbeddingSpace, followed: bool) -> Vectors | None:
        run, provider = self._run, link.provider
        assert isinstance(provider, Embedder)
        size = size_of_texts(self._request.texts)
        async with run.attempt(link, slot) as current:
            limit_s = self._chain.share_of_time(run, followed=followed)
            try:
                async with asyncio.timeout(limit_s):
                    vectors = await provider.embed(current.traced(self._request))
            except TimeoutError as exc:
                if not followed:
                    raise run.out_of_time(link.name) from exc
                raise link.silent(size, run.clock() - current.started) from exc
            current.usage = vectors.usage
            check_vectors(vectors, self._request, space, provider=link.name)
            seconds = run.clock() - current.started
            link.patience.took(size, seconds)
            slot.answered(("vectors", size), seconds)
        return vectors if current.error is None else None


def _prepared(request: EmbedRequest, prefix: str, cut: Cut | None) -> EmbedRequest:
    """Every text behind its prefix and within the window, so that all providers see the same ones."""
    texts = (f"{prefix}{text}" for text in request.texts)
    return replace(request, texts=tuple(cut(text) if cut else text for text in texts))
