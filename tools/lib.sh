# Sourced by tools/test, tools/quickstart and .ci/run: gets what is missing on a Debian 12 and knows how to build.
# Quiet unless something is done or fails. Sets ROOT.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOGS=$ROOT/build/log

PACKAGES_BUILD="cmake ninja-build g++ pkg-config libuv1-dev libpq-dev libspdlog-dev libfmt-dev libyaml-cpp-dev libssl-dev libidn-dev libcli11-dev libsystemd-dev doctest-dev"
PACKAGES_RUN="postgresql postgresql-contrib openssl util-linux iproute2 nftables python3 python3-venv logrotate"
PACKAGES_PACKAGE="dpkg-dev file gzip"
PACKAGES_PACKAGE_TEST="debootstrap groff-base"
PACKAGES_IMAGE_TEST="debootstrap buildah"
PACKAGES_BENCH="pgbouncer strace"
PACKAGES_TIDY="clang-tidy-14"
PACKAGES_FUZZ="clang-14 libclang-rt-14-dev"

# What builds the client programs of other languages: what is on PATH, else Debian's. cargo-web is the newer of Debian's: the other one
# does not know the present form of the registry's index.
packages_toolchains() {
  local packages="ca-certificates"
  have go || packages+=" golang-go"
  have javac java || packages+=" default-jdk-headless"
  have mvn || packages+=" maven"
  have node npm || packages+=" nodejs npm"
  have cargo rustc || packages+=" cargo-web rustc-web"
  say "$packages"
}

have() { type -P "$@" >/dev/null; }         # all of them
say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Runs a command; its output goes to a file, which is shown when it fails.
quietly() {  # NAME COMMAND...
  local name=$1 file=$LOGS/$1.log
  shift
  mkdir -p "$LOGS"
  if "$@" >"$file" 2>&1 </dev/null; then return 0; fi
  say "--- $name failed; the end of $file:"
  tail -n 60 "$file"
  return 1
}

need_packages() {  # PACKAGE...
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "$(id -u)" -eq 0 ] || die "Missing: ${missing[*]}. As root: apt-get install ${missing[*]}"
  say "Installing ${missing[*]}"
  if [ -z "${apt_updated:-}" ]; then
    quietly apt-update apt-get -qq -o Acquire::Retries=3 update || return 1
    apt_updated=yes
  fi
  quietly apt-install env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y --no-install-recommends -o Acquire::Retries=3 install "${missing[@]}"
}

# Puts tests/requirements.txt into build/venv, once for each version of that file.
need_python() {
  local wanted=$ROOT/tests/requirements.txt venv=$ROOT/build/venv
  PYTHON=$venv/bin/python
  cmp -s "$wanted" "$venv/installed.txt" && return 0
  say "Installing tests/requirements.txt into build/venv"
  quietly python-venv /usr/bin/python3 -m venv "$venv" || return 1
  quietly python-packages "$PYTHON" -m pip install --quiet --disable-pip-version-check --retries 5 -r "$wanted" || return 1
  cp "$wanted" "$venv/installed.txt"
}

build_preset() {  # PRESET [TARGET...]: configured and built in build/PRESET, what changed only
  local preset=$1
  shift
  if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$ROOT
  fi
  (cd "$ROOT" && quietly "configure-$preset" cmake --preset "$preset") || return 1
  quietly "build-$preset" cmake --build "$ROOT/build/$preset" ${1:+--target "$@"}
}
