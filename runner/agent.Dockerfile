# The researcher's image: no key, no label, no torch, no trusted code.
FROM python:3.11-slim
# git keeps a commit for each submission; the SDK takes certificates from the system.
RUN apt-get update \
    && apt-get install --no-install-recommends --yes git ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 65532 --no-create-home aar
WORKDIR /app
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + p['optional-dependencies']['agent']))" > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt
COPY crds/aar_api ./aar_api
COPY runner/aar_agent ./aar_agent
# Read by everybody, whatever the checkout's umask was; compiled, since nobody may write here later and the base image leaves its library uncompiled.
RUN chmod -R a+rX /app && python -m compileall -q --invalidation-mode unchecked-hash /app \
    && (python -m compileall -q -x 'test|lib2to3' "$(python -c 'import os; print(os.path.dirname(os.__file__))')" > /dev/null 2>&1 || true)
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1
USER 65532
ENTRYPOINT ["python", "-m"]
CMD ["aar_agent.main"]
