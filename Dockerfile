# tidepoold in a container: docs/service.md#in-a-container. The image is Debian, the package, and nothing else.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      cmake dpkg-dev file g++ libcli11-dev libfmt-dev libidn-dev libpq-dev libspdlog-dev libssl-dev libsystemd-dev libuv1-dev libyaml-cpp-dev \
      ninja-build pkg-config
COPY . /source
RUN cmake -S /source -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTIDEPOOL_TESTS=OFF \
    && cmake --build /build && cd /build && cpack -G DEB

FROM ${BASE}
COPY --from=build /build/tidepool_*.deb /tmp/
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /tmp/tidepool_*.deb \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && install -d -o tidepool -g tidepool /run/tidepool
USER tidepool
VOLUME /run/tidepool
EXPOSE 6432
STOPSIGNAL SIGTERM
# A file that was given a mistake (3) leaves the daemon that runs as it is: no reason to end it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD tidepoold --ping /etc/tidepool/tidepool.yaml || [ $? -eq 3 ]
ENTRYPOINT ["tidepoold"]
CMD ["-c", "/etc/tidepool/tidepool.yaml"]
