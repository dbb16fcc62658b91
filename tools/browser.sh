#!/usr/bin/env bash
# Installs Debian's Chromium for the tests in a browser (tests/browser), where that is possible. Where it is not, those
# tests are skipped, by name: so this never fails.
set -u
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
root=()
if [ "$(id -u)" != 0 ]; then
  if ! sudo -n true 2>/dev/null; then echo "No Chromium, and no right to install it: the browser tests will be skipped."; exit 0; fi
  root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then echo "No Chromium and no apt-get: the browser tests will be skipped."; exit 0; fi
echo "Installing Chromium for the browser tests ..."
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq >/dev/null 2>&1
if ! "${root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji >/dev/null 2>&1; then
  echo "Chromium could not be installed: the browser tests will be skipped."
fi
exit 0
