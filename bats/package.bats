#!/usr/bin/env bats
# What is released: built twice, installed, run, removed.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

# upgrade_and_remove ROOT PACKAGE: from the version before, with a container and an agent; then it is removed
upgrade_and_remove() {
  local root=$1 deb=$2 installed=$1/usr/bin/ocinet old=$BATS_TEST_TMPDIR/old build
  version() { in_host env OCINET_AGENT=no "$installed" --version; }
  # The version before: the same, with a version and a build of its own.
  build=$(sed -n 's,^/\*ocinet \([0-9a-f]\{16\}\) .*,\1,p' "$installed" | head -n 1)
  dpkg-deb --raw-extract "$deb" "$old"
  sed -i "s/$build/0000000000000000/g; s/$(dpkg-deb --field "$deb" Version | sed 's/\./[.]/g')/0.0.9/g" "$old/usr/bin/ocinet"
  sed -i 's/^Version: .*/Version: 0.0.9/' "$old/DEBIAN/control"
  dpkg-deb --root-owner-group --build "$old" "$BATS_TEST_TMPDIR/old.deb"
  change --purge ocinet
  change --install "$BATS_TEST_TMPDIR/old.deb"
  equal "ocinet 0.0.9" "$(version)"
  in_host ip netns add box
  in_host "$installed" up -p 8080:80 box
  background agent in_host "$installed" agent --workers 1
  wait_for grep -q 'serves calls' "$BATS_TEST_TMPDIR/agent.log"
  change --install "$deb"
  equal "ocinet $(dpkg-deb --field "$deb" Version)" "$(version)"
  equal "box up 8080:80/tcp" "$(in_host "$installed" ls --json | jq -r '.[] | "\(.id) \(.state) \(.ports[].mapping)"')"
  reaches 192.0.2.2 in_host ip netns exec box
  in_host ip netns exec box ip address flush dev eth0
  run ! reaches 192.0.2.2 in_host ip netns exec box
  in_host "$installed" repair box
  reaches 192.0.2.2 in_host ip netns exec box
  # Removed meanwhile, it leaves the container connected; back again, it takes that away.
  change --remove ocinet
  [ ! -e "$installed" ]
  reaches 192.0.2.2 in_host ip netns exec box
  stop agent
  change --install "$deb"
  in_host "$installed" down box
  equal "[]" "$(in_host "$installed" ls --json)"
  in_host ip netns delete box
  change --purge ocinet
}

# change ARGUMENT...: dpkg in the directory $root, whose scripts change it and not this machine
change() { dpkg --root="$root" --log=/dev/null --force-depends --force-script-chrootless "$@"; }

# plugin_directory: where the link of update-alternatives leads, in $root
plugin_directory() {
  equal /etc/alternatives/cni-plugins "$(readlink "$root/opt/cni/bin")"
  readlink "$root/etc/alternatives/cni-plugins"
}

@test "packages are the same bytes twice; installed, they run, show their manual pages and complete; upgraded, they know their containers; removed, nothing is left" {
  local out=$BATS_TEST_TMPDIR/out root=$BATS_TEST_TMPDIR/root name
  export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8 HOME=$BATS_TEST_TMPDIR
  "$PROJECT/scripts/package" "$out"
  (cd "$out" && sha256sum --check --quiet SHA256SUMS)
  (umask 077 && cd / && PATH=$PATH:/nowhere TZ=America/New_York "$PROJECT/scripts/package" "$BATS_TEST_TMPDIR/again")
  diff -r "$out" "$BATS_TEST_TMPDIR/again"
  equal "@leichtgewicht/ip-codec commander dns-packet ipaddr.js ocinet" "$(jq -r '.packages[].name' "$out"/*.spdx.json | sort | xargs)"
  jq -e '[.packages[1:][] | .licenseDeclared == "MIT" and (.checksums[0].checksumValue | length) == 128] | all' "$out"/*.spdx.json

  mkdir -p "$root"/var/lib/dpkg/{alternatives,info,updates} "$root"/etc/alternatives "$root"/var/log
  touch "$root"/var/lib/dpkg/{status,available}
  change --install "$out"/ocinet_*.deb
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
  equal /usr/bin/ocinet "$(jq -r .hook.path "$root/usr/share/containers/oci/hooks.d/ocinet.json")"
  equal "ocinet-agent.service ocinet-docker.service ocinet-helper.service" "$(cd "$root/usr/lib/systemd/system" && echo *)"
  equal 3 "$(cat "$root"/usr/lib/systemd/system/* | grep -c '^ExecStart=/usr/bin/ocinet [adh]')"
  equal /usr/lib/ocinet/cni "$(plugin_directory)"
  equal 'exec /usr/bin/ocinet plugin bridge "$@"' "$(tail -n 1 "$root/usr/lib/ocinet/cni/bridge")"
  grep -q "Permission is hereby granted" "$root/usr/share/doc/ocinet/copyright"
  # As apt sees it here, where neither Deno nor a Node that is new enough is a package.
  run -0 apt-get install --simulate --no-install-recommends "$out"/ocinet_*.deb
  [[ $output == *"Inst ocinet "* ]] || fail "$output"
  run -0 dpkg-deb --field "$out"/ocinet_*.deb Maintainer
  [[ $output =~ ^[^\<]+\ \<[^@]+@[^@]+\.[^@]+\>$ ]] || fail "$output"
  upgrade_and_remove "$root" "$out"/ocinet_*.deb
  equal "" "$(find "$root" -path "$root/var" -prune -o ! -type d -print)"
  equal "" "$(find "$root/opt" "$root/usr/lib/ocinet" -mindepth 1 2>/dev/null)"
  # A plugin that another has put where the link led stays where its callers look; a directory that is there is no link.
  change --install "$out"/ocinet_*.deb
  touch "$root/usr/lib/ocinet/cni/calico"
  change --remove ocinet
  equal "calico" "$(ls "$root/opt/cni/bin")"
  change --install "$out"/ocinet_*.deb
  equal "calico" "$(ls "$root/opt/cni/bin")"
  change --purge ocinet

  npm install --silent --global --offline --prefix "$BATS_TEST_TMPDIR/npm" "$out"/ocinet-*.tgz
  run -0 in_host "$BATS_TEST_TMPDIR/npm/bin/ocinet" ls --json
  equal "[]" "$output"
  equal "CHANGELOG.md LICENSE README.md copyright ocinet package.json" \
    "$(cd "$BATS_TEST_TMPDIR/npm/lib/node_modules/ocinet" && find . -type f -printf '%P\n' | sort | xargs)"
  mkdir "$BATS_TEST_TMPDIR/tar"
  tar --directory "$BATS_TEST_TMPDIR/tar" --strip-components 1 --extract --file "$out"/ocinet-*.tar.gz
  run -0 in_host "$BATS_TEST_TMPDIR/tar/ocinet" --version
}
