#!/usr/bin/env bats
# `ocinet doctor` on a machine from which each thing is taken in turn, for root and for an ordinary user: it names the
# thing and what to do, and nothing else; then that is done, and it is content.
load lib
load helper

setup() {
  set_up_hosts
  # Root's state is where it is without the variable.
  unset OCINET_STATE_DIR
  renew_pasta
  own_etc
  own_tun
  note_complaints
}

# own_etc: the host's /etc is a copy, in which programs can replace files, too
own_etc() {
  local etc=$BATS_TEST_TMPDIR/etc
  mkdir "$etc" "$etc"/{upper,work}
  in_host mount -t overlay -o "lowerdir=/etc,upperdir=$etc/upper,workdir=$etc/work" etc /etc
  # Those of users whom other tests have meanwhile removed say nothing.
  in_host sh -c 'rm /etc/resolv.conf; echo nameserver 192.0.2.2 >/etc/resolv.conf; mkdir -p /etc/ocinet
    for name in subuid subgid; do printf "root:100000:65536\n%s:165536:65536\n" "$1" >/etc/$name; done' sh "$OCINET_TEST_USER"
}

# own_tun: the host's /dev/net has a node of its own
own_tun() {
  in_host mount -t tmpfs -o mode=755 tmpfs /dev/net
  in_host mknod -m 666 /dev/net/tun c 10 200
}

# --- what doctor says

# note_complaints: what doctor says before anything is taken away, which is of this kernel
note_complaints() {
  local who
  for who in root user; do complaints $who >"$BATS_TEST_TMPDIR/$who.before"; done
}

# complaints WHO: "STATUS NAME" of all that is not well; all that was said is in $BATS_TEST_TMPDIR/said
complaints() {
  local status=0
  as "$1" "$OCINET" doctor --json >"$BATS_TEST_TMPDIR/said" || status=$?
  jq -r '.[] | select(.status != "ok") | "\(.status) \(.name)"' "$BATS_TEST_TMPDIR/said" | sort >"$BATS_TEST_TMPDIR/now"
  if grep -q ^missing "$BATS_TEST_TMPDIR/now"; then ((status == 1)); else ((status == 0)); fi ||
    fail "Status $status of:" "$(<"$BATS_TEST_TMPDIR/now")" || return
  cat "$BATS_TEST_TMPDIR/now"
}

# new_complaints WHO: those that were not there at first
new_complaints() { complaints "$1" | comm -13 "$BATS_TEST_TMPDIR/$1.before" -; }

content() {
  local new
  new=$(new_complaints "$1")
  [ -z "$new" ] || fail "Still, $1 is told of:" "$new" "$(jq -c '.[] | select(.status != "ok")' "$BATS_TEST_TMPDIR/said")"
}

# lacks WHO 'STATUS NAME' FOUND REMEDY ['STATUS NAME']...: doctor tells of the first, by these two patterns, of the others,
# and of nothing else; $REMEDY is then what it says to do. What is missing, `ocinet run` cannot do without.
lacks() {
  local who=$1 first=$2 found=$3 remedy=$4 new said
  new=$(new_complaints "$who")
  [ "$new" = "$(printf '%s\n' "$first" "${@:5}" | sort)" ] || fail "$who is not told of $first alone, but of:" "$new" \
    "$(jq -c '.[] | select(.status != "ok")' "$BATS_TEST_TMPDIR/said")" || return
  said=$(jq -r --arg name "${first#* }" '.[] | select(.name == $name) | .found' "$BATS_TEST_TMPDIR/said")
  REMEDY=$(jq -r --arg name "${first#* }" '.[] | select(.name == $name) | .remedy' "$BATS_TEST_TMPDIR/said")
  # shellcheck disable=SC2053 # patterns
  [[ $said == $found && $REMEDY == $remedy ]] || fail "found: $said" "remedy: $REMEDY" || return
  [[ $who = root || $REMEDY != *"apt-get"* || $REMEDY == "as root: "* ]]
}

# runs WHO: a command has a network of its own
runs() { as "$1" "$OCINET" run -- true 2>/dev/null; }

# written WHO 'LABEL NAME': the same for a person, who sees it last, if it is what is missing
written() {
  run as "$1" "$OCINET" doctor
  [[ $output =~ (^|$'\n')"${2%% *}"\ +"${2#* }"\ [^$'\n']+$'\n'"         -> $REMEDY"$'\n' ]] || fail "$output"
}

# remedied WHO [EDIT]: once root has done what doctor said, changed by a sed command where it leaves something to fill in, it
# is content
remedied() {
  local command
  command=$(sed -E "s/^as root: //; s/; to keep it.*//; ${2-}" <<<"$REMEDY")
  in_host sh -c "$command" || fail "This failed: $command" || return
  content "$1"
}

# --- what is taken away

# without WHO PROGRAM 'STATUS NAME' FOUND PACKAGE [MORE]...: while the host has no such program
without() {
  local who=$1 program=$2 package=$5
  hide "$program"
  lacks "$who" "$3" "$4" "*apt-get install $package" "${@:6}" || return
  # Its package has the program, under whatever other name the system's own alternatives give that.
  dpkg -L "$package" | grep -qE "/${3#* }\$|/slirp4netns\$|/xtables-nft-multi\$"
  [[ $3 != missing* || $3 == *" runc" ]] || run ! runs "$who"
  show "$program"
}

show() { in_host umount "$(command -v "$1")"; }

@test "programs that are not there, for root" {
  without root ip 'missing ip' 'not found; *' iproute2
  written root 'MISSING ip' || true
  without root nft 'missing nft' 'not found; *' nftables
  without root nsenter 'missing nsenter' 'not found; *' util-linux
  without root unshare 'missing unshare' 'not found; *' util-linux
  without root setsid 'missing setsid' 'not found; *' util-linux
}
