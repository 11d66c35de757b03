# Stand-ins with the same names, users and folders as the public images, for machines that can pull none.
# The programs are real: Ollama from PyPI, put into the build context `engine` by tests/compose/images.py; Debian's others.
ARG BASE_IMAGE=python:3.13.7-slim-trixie

FROM scratch AS engine

FROM ${BASE_IMAGE} AS ollama
COPY --from=engine / /opt/ollama/
# OLLAMA_NUM_GPU=0: else this build tries a GPU path and every request ends in 500 (services/stack/ollama.py)
ENV LD_LIBRARY_PATH=/opt/ollama/program:/opt/ollama/sycl:/opt/ollama/lib OLLAMA_NUM_GPU=0
RUN printf '#!/bin/sh\nexec /opt/ollama/program/ollama-lib "$@"\n' >/usr/local/bin/ollama && chmod 755 /usr/local/bin/ollama
ENTRYPOINT ["ollama"]
CMD ["serve"]

FROM ${BASE_IMAGE} AS debian
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      prometheus promtool prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65534 -g 65534 /prometheus /alertmanager

FROM debian AS prometheus
ENTRYPOINT ["prometheus"]

FROM debian AS alertmanager
ENTRYPOINT ["prometheus-alertmanager"]
