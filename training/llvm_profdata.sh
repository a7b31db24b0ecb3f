#!/usr/bin/env bash
# Puts LLVM's tool that merges profiles, in the version of rustc's own LLVM, at .tools/llvm/bin/llvm-profdata: rustup's
# if that component is there, else the system's, else Debian's package, which is unpacked and not installed.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$PWD/.tools/llvm/bin/llvm-profdata
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')

serves() { # program
  "$1" --version 2>/dev/null | grep -q "LLVM version $major\."
}

link() { # program
  mkdir -p "$(dirname "$tool")"
  ln -sf "$1" "$tool"
}

# Debian's package with all it needs that is not installed. Lists and files are kept in .tools, so root is not needed.
unpack() {
  local own=$PWD/.tools/apt
  mkdir -p "$own"/{lists/partial,archives/partial}
  local options=(-qq -o Debug::NoLocking=1 -o "Dir::State::lists=$own/lists" -o "Dir::Cache::archives=$own/archives"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o APT::Sandbox::User=)
  apt-get "${options[@]}" update || return
  apt-get "${options[@]}" --yes --no-install-recommends --download-only install "llvm-$major" || return
  for package in "$own"/archives/*.deb; do dpkg --extract "$package" "$own/root" || return; done
  mkdir -p "$(dirname "$tool")"
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
    "$own/root/usr/lib/$(cc -print-multiarch):$own/root/usr/lib/llvm-$major/lib" \
    "$own/root/usr/lib/llvm-$major/bin/llvm-profdata" >"$tool.new"
  chmod +x "$tool.new"
  mv "$tool.new" "$tool"
  rm -rf "$own"/{archives,lists}
}

if serves "$tool"; then exit; fi
for found in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" \
  "$(command -v "llvm-profdata-$major" || true)" "$(command -v llvm-profdata || true)"; do
  if serves "$found"; then
    link "$found"
    exit
  fi
done
if command -v apt-get >/dev/null; then
  echo "LLVM $major's llvm-profdata is not here: Debian's package is unpacked into .tools" >&2
  if unpack && serves "$tool"; then exit; fi
fi
echo "no llvm-profdata of LLVM $major; this brings it: rustup component add llvm-tools" >&2
exit 1
