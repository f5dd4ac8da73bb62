# Shared by the scripts beside it. Sourced, not run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# need_packages PACKAGE...: installs Debian packages, or says which are missing to somebody who may.
need_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    die "these Debian packages are missing: ${missing[*]}. Install them with: sudo apt-get install ${missing[*]}"
  fi
  step "Installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

need_node() {
  have node || die "Node.js 20 or newer is needed; see https://nodejs.org"
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || die "Node.js 20 or newer is needed; this is $(node --version)"
  have npm || die "npm is needed beside Node.js"
}

# npm_ci DIRECTORY: installs what the lock file says, unless that is what is there.
npm_ci() {
  local stamp="$1/node_modules/.package-lock.json"
  if [ -f "$stamp" ] && [ ! "$1/package-lock.json" -nt "$stamp" ]; then return 0; fi
  step "Installing the Node packages of ${1#"$ROOT/"}"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
}
