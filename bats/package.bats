#!/usr/bin/env bats
# What is released: built twice, installed, run, removed.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

@test "packages are the same bytes twice; installed, they run, show their manual pages and complete; removed, nothing is left" {
  local out=$BATS_TEST_TMPDIR/out root=$BATS_TEST_TMPDIR/root name
  export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8 HOME=$BATS_TEST_TMPDIR
  "$PROJECT/scripts/package" "$out"
  (cd "$out" && sha256sum --check --quiet SHA256SUMS)
  (umask 077 && cd / && PATH=$PATH:/nowhere TZ=America/New_York "$PROJECT/scripts/package" "$BATS_TEST_TMPDIR/again")
  diff -r "$out" "$BATS_TEST_TMPDIR/again"
  equal "@leichtgewicht/ip-codec commander dns-packet ipaddr.js ocinet" "$(jq -r '.packages[].name' "$out"/*.spdx.json | sort | xargs)"
  jq -e '[.packages[1:][] | .licenseDeclared == "MIT" and (.checksums[0].checksumValue | length) == 128] | all' "$out"/*.spdx.json

  # No script of the package runs: a directory does as the root.
  mkdir -p "$root"/var/lib/dpkg/{info,updates}
  touch "$root"/var/lib/dpkg/{status,available}
  dpkg --root="$root" --log=/dev/null --force-depends --install "$out"/ocinet_*.deb
  equal "ii ocinet" "$(dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat '${db:Status-Abbrev}${Package}' ocinet)"
  run -0 in_host "$root/usr/bin/ocinet" --version
  equal "ocinet $(jq -r .version "$PROJECT/package.json")" "$output"
  equal "[]" "$(in_host "$root/usr/bin/ocinet" ls --json)"
  # One process looks at all pages, as man would at each.
  equal "" "$(zcat "$root"/usr/share/man/man1/* | groff -K utf8 -man -ww -Tutf8 2>&1 >/dev/null)"
  for name in ocinet ocinet-network-create; do
    run -0 --separate-stderr man --warnings --local-file -Tutf8 "$root/usr/share/man/man1/$name.1.gz"
    equal "" "$stderr"
    grep -q "^ *$name - " < <(sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g' <<<"$output") || fail "$output"
  done
  grep -q "complete -o default -F _ocinet ocinet" "$root/usr/share/bash-completion/completions/ocinet"
  zsh -n "$root/usr/share/zsh/vendor-completions/_ocinet"
  fish --no-execute "$root/usr/share/fish/vendor_completions.d/ocinet.fish"
  equal /usr/bin/ocinet "$(jq -r .hook.path "$root/usr/share/doc/ocinet/examples/hooks.d/ocinet.json")"
  grep -q "Permission is hereby granted" "$root/usr/share/doc/ocinet/copyright"
  dpkg --root="$root" --log=/dev/null --purge ocinet
  equal "" "$(find "$root" -path "$root/var" -prune -o ! -type d -print)"

  npm install --silent --global --offline --prefix "$BATS_TEST_TMPDIR/npm" "$out"/ocinet-*.tgz
  run -0 in_host "$BATS_TEST_TMPDIR/npm/bin/ocinet" ls --json
  equal "[]" "$output"
  equal "CHANGELOG.md LICENSE README.md copyright ocinet package.json" \
    "$(cd "$BATS_TEST_TMPDIR/npm/lib/node_modules/ocinet" && find . -type f -printf '%P\n' | sort | xargs)"
  mkdir "$BATS_TEST_TMPDIR/tar"
  tar --directory "$BATS_TEST_TMPDIR/tar" --strip-components 1 --extract --file "$out"/ocinet-*.tar.gz
  run -0 in_host "$BATS_TEST_TMPDIR/tar/ocinet" --version
}
