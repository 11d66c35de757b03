"""What a call and a streamed chunk cost in CPU time: the client beside raw HTTP, the openai SDK and LiteLLM."""
