# The image of all programs of sisock; docker-compose.yml starts each with a command of its own.
ARG PYTHON=3.11.11

# Some dependencies are compiled here; the compilers stay behind.
FROM python:${PYTHON}-bookworm AS build
RUN python -m venv /opt/sisock
COPY . /source
RUN /opt/sisock/bin/pip install --no-cache-dir --disable-pip-version-check '/source[parquet]'

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/sisock /opt/sisock
# A named volume takes its owner from its folder here when it is first used.
RUN useradd --system --create-home --uid 1500 sisock && install --directory --owner=sisock --mode=0700 /state /cache /feeds
USER sisock
WORKDIR /home/sisock
ENV PATH=/opt/sisock/bin:$PATH PYTHONUNBUFFERED=1 SISOCK_STATE=/state
VOLUME /state
ENTRYPOINT ["sisock"]
CMD ["--help"]
