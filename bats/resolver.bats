#!/usr/bin/env bats
# Names of containers by a resolver: networks with --opt names=dns.
# shellcheck disable=SC2154 # what run sets
load lib
load contained

net() { ocinet network "$@"; }

# look ID NAME [TYPE]: what its resolver says, an address or a name a line
look() { exec_container "$1" nslookup -type="${3-a}" "$2" 2>&1; }

@test "try" {
  net create --opt names=dns --subnet 10.5.0.0/24 shop
  launch a runc --net shop
  launch b runc --net shop:alias=api
  exec_container a cat /etc/resolv.conf
  cat "$STATE_DIR/resolver/log" || true
  cat "$STATE_DIR/resolver/pid" || true
  ls -la "$STATE_DIR/resolver" 
  look a api || true
  look a b.shop || true
  look a nosuch || true
  delete_container a
  delete_container b
  false
}
