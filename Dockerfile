# One image for every process; the command chooses which.
FROM python:3.11.11-slim-bookworm AS build
WORKDIR /app
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock pyproject.toml ./
RUN python -m venv /venv \
    && /venv/bin/pip install --quiet uv==0.13.8 \
    && /venv/bin/uv pip install --quiet --require-hashes --requirement requirements.lock
COPY chassis chassis
COPY gateway gateway
COPY services services
COPY cli cli
COPY gen gen

FROM python:3.11.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home switchyard
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/gen PYTHONUNBUFFERED=1 \
    SWITCHYARD_GRPC_HOST=0.0.0.0 SWITCHYARD_OPS_HOST=0.0.0.0
USER 10001
ENTRYPOINT ["python", "-m", "cli.main"]
CMD ["serve", "gateway"]
