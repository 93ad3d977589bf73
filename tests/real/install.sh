#!/usr/bin/env bash
# Installs the servers that `cargo test -p real-servers` starts, below target/real. A second run
# changes nothing.
set -euo pipefail
cd "$(dirname "$0")"
to=../../target/real
pins() { cat package-lock.json requirements.txt; }

if pins | cmp -s - "$to/installed"; then exit; fi

apt() { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }
command -v npm >/dev/null || apt nodejs npm
python3 -c 'import ensurepip, venv' 2>/dev/null || apt python3 python3-venv

mkdir -p "$to"
cp package.json package-lock.json "$to"
npm ci --prefix "$to" --no-audit --no-fund --loglevel=error
python3 -m venv --clear "$to/venv"
"$to/venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
pins >"$to/installed"
