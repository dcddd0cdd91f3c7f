# The image of the gateway: one program, the libraries that it is linked to, the certificates of the public authorities.
# docs/container.md says how to build and run it, and what of this is tested where there is no engine.
#
# Needs BuildKit (Docker 23 or newer) or Buildah, for the cache mounts. The base image is named by its version; to have
# exactly the same one each time, name it by its digest too:
#   docker build --build-arg RUST_IMAGE=rust:1.95.0-bookworm@sha256:… -t patchbay:0.1.0 .

ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE ./
COPY builtin-tools builtin-tools
COPY config config
COPY proxy proxy
COPY image image
# Members of the workspace that are not built: cargo wants to see their manifests all the same.
COPY tests/Cargo.toml tests/Cargo.toml
COPY xtask/Cargo.toml xtask/Cargo.toml
# The dependencies stay built in the cache; they are known by their versions. Our own files are known by their times, and a
# cache may be younger than a checkout that differs from it, so they are touched and built each time.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    mkdir -p xtask/src && touch xtask/src/main.rs \
    && find builtin-tools config proxy -type f -exec touch {} + \
    && cargo build --release --locked --package patchbay \
    && image/rootfs.sh target/release/patchbay /rootfs \
    && mv /rootfs/var/lib/patchbay /data

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Patchbay" \
      org.opencontainers.image.description="One address for all the tools of a team: an MCP gateway for many tenants" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
# Made by this line and not by the one before, so that it belongs to the gateway in every engine, and an empty volume here too.
COPY --from=build --chown=10001:10001 /data/ /var/lib/patchbay/
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/patchbay
VOLUME ["/var/lib/patchbay"]
# Clients, operators, admins. A container is only reached when `listen` says 0.0.0.0; the operators' and the admins' port are
# not for the world.
EXPOSE 8080 9090 9091
# It drains at SIGTERM: give it limits.drain_s and 20 seconds (docker run --stop-timeout 60).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/patchbay", "health"]
ENTRYPOINT ["/usr/local/bin/patchbay"]
