"""From a model's name and this machine to the command that starts vLLM, or to a refusal that says what to do.

Standard library only: the vLLM image holds these files and the registry, and no package of the services.
"""
