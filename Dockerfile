# The service in a container: docker build -t fleetwarden . && docker run --read-only \
#   -v fleetwarden-data:/data -v ./fleetwarden.yaml:/etc/fleetwarden/fleetwarden.yaml:ro -p 9469:9469 fleetwarden
# Set http.listen to 0.0.0.0:9469 in the file, or nobody outside the container reaches it.

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Without optional packages: those are Node itself, for checkouts whose Node is too old.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ARG REVISION=unknown
ENV NODE_ENV=production FLEETWARDEN_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Fleetwarden" \
      org.opencontainers.image.description="Watches a fleet of heat pumps, electric vehicles and inverters behind Podero's Partner API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY rules ./rules
COPY src ./src
# What the configuration names is relative to its folder: with only the file mounted there, the
# defaults rules/*.yaml and data/fleetwarden.db are the shipped rules and the volume.
RUN mkdir -p /data /etc/fleetwarden \
 && chown 1000:1000 /data \
 && ln -s /data /etc/fleetwarden/data \
 && ln -s /app/rules /etc/fleetwarden/rules
VOLUME /data
USER 1000:1000
EXPOSE 9469
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9469/-/healthy').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The options of bin/node24.js: less memory filled before V8 collects what is garbage.
ENTRYPOINT ["node", "--max-semi-space-size=16", "--heap-growing-percent=100", "src/main.ts"]
CMD ["run", "--config", "/etc/fleetwarden/fleetwarden.yaml"]
