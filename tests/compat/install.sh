#!/usr/bin/env bash
# Installs the stock clients that tests/compat drives, unmodified, each in an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=.tools/compat
python=${PYTHON:-python3}

environment() { # name, requirements …
    local folder=$tools/$1 stamp
    shift
    stamp="$folder/.installed-$(echo "$*" | sha256sum | cut -c1-12)"
    [ -e "$stamp" ] && return
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    touch "$stamp"
}

packages() { # name, packages …
    local folder=$tools/$1 stamp
    shift
    stamp="$folder/.installed-$(echo "$*" | sha256sum | cut -c1-12)"
    [ -e "$stamp" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && npm init --yes >/dev/null && npm install --silent --no-audit --no-fund "$@")
    touch "$stamp"
}

mkdir -p "$tools"
environment solana-sync "solana==0.36.12"
environment solana-async "solana==0.41.0"
if command -v npm >/dev/null; then
    packages web3js "@solana/web3.js@1.99.0"
    packages kit "@solana/kit@8.4.0" "@solana-program/system@0.14.1"
    packages anchor "@coral-xyz/anchor@0.32.1" "@solana/web3.js@1.99.0"
    packages spl-token "@solana/spl-token@0.4.15" "@solana/web3.js@1.99.0"
    packages umi "@metaplex-foundation/umi@1.6.0" "@metaplex-foundation/umi-bundle-defaults@1.6.0" \
        "@solana/web3.js@1.99.0"
    packages javascript "express@5.3.0" "esbuild@0.28.2"
    packages network "axios@1.21.1" "node-fetch@2.7.0" "esbuild@0.28.2"
fi
