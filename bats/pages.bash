# The world in which pages of docs are run (scripts/page.ts): two hosts (hosts.bash) of which the peer is the rest of the
# world, with a name server that knows example.org, and a web server there. The user alice has no account elsewhere.

# serve_world DIRECTORY: the peer's servers, until they are killed
serve_world() {
  mkdir -p "$1/www"
  echo "example.org" >"$1/www/index.html"
  busybox httpd -f -p 198.51.100.1:80 -h "$1/www" &
  trap 'kill $(jobs -p)' EXIT
  trap exit TERM
  dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --pid-file= --user=root --listen-address=192.0.2.2 \
    --bind-interfaces --address=/example.org/198.51.100.1 --address=/example.org/2001:db8:2::1 &
  wait
}

# furnish_pages DIRECTORY: in the host's mount namespace, once; /etc, /opt and /var/lib/ocinet are its own, and alice lives
# there
furnish_pages() {
  mkdir -p "$1/etc" "$1/alice"
  cp -a /etc/. "$1/etc"
  rm -rf "$1"/etc/{resolv.conf,ocinet,cni}
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  echo "alice:x:60606:60606::$1/alice:/bin/bash" >>"$1/etc/passwd"
  echo "alice:x:60606:" >>"$1/etc/group"
  for file in subuid subgid; do echo "alice:600100000:65536" >>"$1/etc/$file"; done
  mkdir -p "$1/etc/ocinet/net.d" "$1/etc/containers" /run/user/60606
  # podman would raise limits, which root may not do on every machine.
  printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' >"$1/etc/containers/containers.conf"
  chown 60606:60606 "$1/alice" /run/user/60606
  chmod 700 /run/user/60606
  chmod 755 "$1" "$1/alice"
  mount --bind "$1/etc" /etc
  mount -t tmpfs tmpfs /opt
  mount -t tmpfs tmpfs /var/lib/ocinet
}

# page DIRECTORY MODE FILE...: in the furnished host, with the dockerd of scripts/setup unless there is one
page() {
  local directory=$1 mode=$2 docker=/var/tmp/ocinet-docker-$UID
  env --unset=OCINET_STATE_DIR LC_ALL=C.UTF-8 PATH="$PROJECT/dist:$PROJECT/node_modules/.bin:$PATH:$docker/usr/bin:$docker/usr/sbin" \
    LD_LIBRARY_PATH="$docker/lib/$(uname -m)-linux-gnu" PAGE_USER=alice PAGE_HOME="$directory/alice" \
    PAGE_RUNTIME_DIR=/run/user/60606 HOME="$directory" \
    "$PROJECT/node_modules/.bin/deno" run -A --no-check "$PROJECT/scripts/page.ts" "$mode" "$directory/pages" "${@:3}"
}
