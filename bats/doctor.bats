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
  # shellcheck disable=SC2016 # the inner shell's
  in_host sh -c 'rm /etc/resolv.conf; echo nameserver 192.0.2.2 >/etc/resolv.conf; mkdir -p /etc/ocinet
    for name in subuid subgid; do printf "root:100000:65536\n%s:165536:65536\n" "$1" >/etc/$name; done' sh "$OCINET_TEST_USER"
}

# own_tun: the host's /dev/net has a node of its own
own_tun() {
  in_host mount -t tmpfs -o mode=755 tmpfs /dev/net
  in_host mknod -m 666 /dev/net/tun c 10 200
}

# --- what doctor says

# note_complaints: what doctor says before anything is taken away, which is of this kernel, and the same for all tests
note_complaints() {
  local who
  BEFORE=${1-$BATS_FILE_TMPDIR}
  [ ! -e "$BEFORE/user" ] || return 0
  for who in root user; do complaints $who >"$BEFORE/$who"; done
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
new_complaints() { complaints "$1" | comm -13 "$BEFORE/$1" -; }

content() {
  local new
  new=$(new_complaints "$1")
  [ -z "$new" ] || fail "Still, $1 is told of:" "$new" "$(jq -c '.[] | select(.status != "ok")' "$BATS_TEST_TMPDIR/said")"
}

# lacks WHO 'STATUS NAME' FOUND REMEDY ['STATUS NAME']...: doctor tells of the first, by these two patterns, of the others,
# and of nothing else; $REMEDY is then what it says to do
lacks() {
  local who=$1 name=${2#* } new found
  new=$(new_complaints "$who")
  [ "$new" = "$(printf '%s\n' "$2" "${@:5}" | sort)" ] || fail "$who is told not of $2, but of:" "$new" "$(not_well)" || return
  found=$(said_of "$name" found)
  REMEDY=$(said_of "$name" remedy)
  # shellcheck disable=SC2053 # patterns
  [[ $found == $3 && $REMEDY == $4 ]] || fail "found: $found" "remedy: $REMEDY" || return
  [[ $who = root || $REMEDY != *apt-get* || $REMEDY == "as root: "* ]] || fail "$REMEDY"
}

# written WHO 'LABEL NAME': a person reads of it last of all, with the remedy, and of the number of what is missing
written() {
  run as "$1" "$OCINET" doctor
  [[ ${lines[-3]} == "$2 "* && ${lines[-2]} == "         -> $REMEDY" && ${lines[-1]} == "1 thing is missing for "* ]] ||
    fail "$output"
}

said_of() { jq -r --arg name "$1" --arg what "$2" '.[] | select(.name == $name) | .[$what]' "$BATS_TEST_TMPDIR/said"; }
not_well() { jq -c '.[] | select(.status != "ok")' "$BATS_TEST_TMPDIR/said"; }

# content WHO: there is no more to say than at first
content() {
  local new
  new=$(new_complaints "$1")
  [ -z "$new" ] || fail "$1 is told of:" "$new" "$(not_well)"
}

# remedied WHO [EDIT]: once the remedy has been run, as changed by a sed command where there is a choice or a blank in it,
# doctor is content
remedied() {
  local command who=$1
  command=$(sed -E "s/; to keep it.*//; ${2-}; s/^as root: /root: /" <<<"$REMEDY")
  [[ $command != "root: "* ]] || who=root command=${command#root: }
  as "$who" sh -c "$command" || fail "This failed: $command" || return
  content "$1"
}

# runs WHO: a command gets a network of its own
runs() { as "$1" timeout 20 "$OCINET" run -- true; }

# --- programs

# without WHO 'STATUS PROGRAM PACKAGE'...: while the host has no such programs; what is missing, `ocinet run` cannot do without
without() {
  local who=$1 row status program package
  shift
  for row in "$@"; do hide "$(cut -d' ' -f2 <<<"$row")"; done
  [ "$(new_complaints "$who")" = "$(printf '%s\n' "$@" | cut -d' ' -f-2 | sort)" ] ||
    fail "$who lacks:" "$@" "but is told of:" "$(not_well)" || return
  [[ $1 != missing* ]] || run ! runs "$who"
  for row in "$@"; do show "$(cut -d' ' -f2 <<<"$row")"; done
  while read -r status program package; do
    [[ $(said_of "$program" found) == "not found; "* ]] || fail "$(not_well)" || return
    [[ $(said_of "$program" remedy) == *"apt-get install $package" ]] || fail "$(not_well)" || return
    owns "$package" "$program" || fail "There is no $program in package $package" || return
  done < <(printf '%s\n' "$@")
}

show() { in_host umount "$(command -v "$1")"; }

# owns PACKAGE PROGRAM: Debian's package has it, under its own name, or that of one of its alternatives
owns() { dpkg -L "$1" | grep -qE "/($2|$(basename "$(readlink -f "$(command -v "$2")")"))\$"; }

@test "which programs are not there, and which packages have them" {
  without root 'missing ip iproute2' 'missing nft nftables' 'missing nsenter util-linux' 'missing setsid util-linux' \
    'missing unshare util-linux'
  without root 'warning bridge iproute2' 'warning conntrack conntrack' 'warning getent libc-bin' 'warning hostname hostname' \
    'warning newuidmap uidmap' 'warning setpriv util-linux' 'warning tc iproute2' 'warning mount mount'
  OCINET_RUNTIME=node without root 'missing flock util-linux'
  without user 'missing ip iproute2'
  without user 'missing nsenter util-linux'
  without user 'missing unshare util-linux'
  without user 'missing setsid util-linux'
  without user 'missing mount mount'
  without user 'warning getent libc-bin' 'warning hostname hostname' 'warning newgidmap uidmap' 'warning newuidmap uidmap' \
    'warning nft nftables' 'warning tail coreutils' 'warning tc iproute2'
}

@test "of programs that do the same one is enough" {
  local who
  hide runc
  hide slirp4netns
  content user
  show runc
  show slirp4netns
  hide crun
  hide runc
  for who in root user; do lacks $who 'missing runc' 'not found; it runs containers' '*apt-get install runc' 'warning crun'; done
  written user 'MISSING  runc'
  show runc
  show crun
  hide pasta
  hide slirp4netns
  lacks user 'missing uplink' 'none works; *' 'as root: apt-get install slirp4netns'
  run ! runs user
  lacks root 'warning uplink' 'none works; *; rootless containers need it' 'apt-get install slirp4netns'
  show slirp4netns
  hide tail
  # (A short command may have ended before slirp4netns does.)
  lacks user 'missing tail' 'not found; it tells slirp4netns *' 'as root: apt-get install coreutils'
  show tail
  show pasta
  content root
  hide busybox
  lacks root 'warning udhcpc' 'not found; *' 'apt-get install udhcpc'
}

@test "a program that does not run, is too old, or is another of that name, is not taken for one that does" {
  local library
  library=$(ldd "$(command -v conntrack)" | awk '/libnetfilter_conntrack/ { print $3 }')
  in_host mount --bind /dev/null "$library"
  lacks root 'warning conntrack' '*does not run (*error while loading shared libraries*' 'apt-get install --reinstall conntrack'
  in_host umount "$library"
  says nft --version 'nftables v0.9.8 (E.D.S.)'
  lacks root 'missing nft' '0.9.8 (*) is older than 1.0' 'upgrade; Debian 12 has a newer nftables'
  show nft
  says pasta --version 'pasta 2023_11_07.56d9f6d'
  lacks user 'warning pasta' '*is 2023_11, and it is used from 2024_02 on: *' \
    'none is needed, as slirp4netns is used; or upgrade; Debian 13 has a newer passt'
  [ "$(said_of uplink found)" = slirp4netns ]
  show pasta
  hide pasta
  in_host mount --bind "$(command -v busybox)" "$(command -v tail)"
  lacks user 'missing tail' '*/tail has no --pid; *' 'as root: apt-get install coreutils'
  show tail
  show pasta
  in_host mount --bind "$(command -v busybox)" "$(command -v env)"
  # (Deno takes its signals from such an env, and does not start by one that cannot block any.)
  OCINET_RUNTIME=node lacks user 'warning env' '*/env has no --default-signal; *' 'as root: apt-get install coreutils'
  show env
  content user
}

# says PROGRAM OPTION TEXT: asked by the option, the host's answers so, and is itself otherwise
says() {
  local path
  path=$(readlink -f "$(command -v "$1")")
  cp "$path" "$BATS_TEST_TMPDIR/real-$1"
  cat >"$BATS_TEST_TMPDIR/$1" <<SCRIPT
#!/bin/sh
[ "\$*" != "$2" ] || exec echo "$3"
exec "$BATS_TEST_TMPDIR/real-$1" "\$@"
SCRIPT
  chmod 755 "$BATS_TEST_TMPDIR/$1"
  in_host mount --bind "$BATS_TEST_TMPDIR/$1" "$path"
}

@test "a runtime that is too old" {
  local node status=0
  node=$(readlink -f "$(command -v node)")
  # It runs from before the mount, and asks after it.
  # shellcheck disable=SC2016 # the inner shell's
  in_host bash -c 'exec 9<"$1"
    printf "#!/bin/sh\necho v20.9.0\n" >"$3" && chmod 755 "$3" && mount --bind "$3" "$1"
    exec /proc/self/fd/9 "$2" doctor --json' bash "$node" "$OCINET" "$BATS_TEST_TMPDIR/node" >"$BATS_TEST_TMPDIR/said" || status=$?
  [ "$status" = 1 ]
  [ "$(said_of runtime found)" = "Node 20.9.0 ($node) is older than 20.16" ]
  [ "$(said_of runtime remedy)" = "install Deno 2 or later, or Node 20.16 or later" ]
}

@test "users' ids: the programs that map them, and their ranges" {
  local name
  for name in newuidmap newgidmap; do
    cp "$(command -v $name)" "$BATS_TEST_TMPDIR/$name"
    in_host mount --bind "$BATS_TEST_TMPDIR/$name" "$(command -v $name)"
  done
  chmod 755 "$BATS_TEST_TMPDIR"/newuidmap
  chmod 4755 "$BATS_TEST_TMPDIR"/newgidmap
  lacks user 'warning newuidmap' '*is neither setuid nor has file capabilities*' 'as root: chmod u+s */newuidmap'
  # With its own id alone a container does as well.
  runs user
  remedied user
  chmod 755 "$BATS_TEST_TMPDIR/newuidmap"
  setcap cap_setuid=ep "$BATS_TEST_TMPDIR/newuidmap"
  content user
  chown "$OCINET_TEST_USER" "$BATS_TEST_TMPDIR/newgidmap"
  chmod u+s "$BATS_TEST_TMPDIR/newgidmap"
  lacks user 'warning newgidmap' '*is of user *, not of root*' 'as root: chown root:root */newgidmap && chmod u+s */newgidmap'
  remedied user
  in_host sed -i "/^$OCINET_TEST_USER:/d" /etc/subuid
  lacks user 'warning /etc/subuid' "0 ids for $OCINET_TEST_USER, of 65536 *" \
    "as root: usermod --add-subuids 165536-231071 $OCINET_TEST_USER"
  remedied user
  in_host sed -i "/^$OCINET_TEST_USER:/s/:65536/:1000/" /etc/subgid
  lacks user 'warning /etc/subgid' '1000 ids for *' "as root: usermod --add-subgids 166536-232071 $OCINET_TEST_USER"
  hide usermod
  lacks user 'warning /etc/subgid' '1000 ids for *' "as root: echo $OCINET_TEST_USER:166536:65536 >>/etc/subgid"
  remedied user
  # All of that is right only if the kernel takes it.
  [ "$(as_user "$OCINET" run --net none -- grep -c . /proc/self/uid_map)" -ge 2 ]
}

# --- the kernel

@test "/dev/net/tun" {
  in_host chmod 600 /dev/net/tun
  lacks root 'warning /dev/net/tun' 'can be opened by root only; rootless containers need it' 'chmod 666 /dev/net/tun'
  lacks user 'missing /dev/net/tun' 'cannot be opened (Permission denied)' 'as root: chmod 666 /dev/net/tun'
  written user 'MISSING  /dev/net/tun'
  run ! runs user
  remedied user
  runs user
  in_host rm /dev/net/tun
  lacks user 'missing /dev/net/tun' 'not there' 'as root: modprobe tun; mkdir -p /dev/net; mknod -m 666 /dev/net/tun c 10 200'
  remedied user
  in_host sh -c 'rm /dev/net/tun; mknod -m 666 /dev/net/tun c 10 254'
  lacks user 'missing /dev/net/tun' 'cannot be opened (No such device*)' 'as root: modprobe tun; rm -f /dev/net/tun; mknod *'
  remedied user
  in_host sh -c 'rm /dev/net/tun; mknod -m 666 /dev/net/tun c 1 3'
  lacks user 'missing /dev/net/tun' 'can be opened, and makes no link (*)' 'as root: modprobe tun; rm -f /dev/net/tun; mknod *'
  run ! runs user
  remedied user
  content root
}

@test "sysctls of the network" {
  in_host sysctl -qw net.ipv4.ip_unprivileged_port_start=32768
  lacks user 'warning sysctl net.ipv4.ip_unprivileged_port_start' '32768; *' \
    'as root: sysctl -w net.ipv4.ip_unprivileged_port_start=1024; to keep it: echo "* = 1024" >>/etc/sysctl.d/ocinet.conf'
  run ! as_user "$OCINET" run -p 8080:80 -- true
  remedied user
  as_user "$OCINET" run -p 8080:80 -- true
  in_host sysctl -qw net.ipv4.ping_group_range="1 0"
  lacks user 'warning sysctl net.ipv4.ping_group_range' '1 0; no group of yours *' \
    'as root: sysctl -w net.ipv4.ping_group_range="0 2147483647"; to keep it: *'
  run ! pings_out
  remedied user
  pings_out
}

pings_out() { as_user "$OCINET" run --uplink slirp4netns -- busybox ping -c 1 -W 2 192.0.2.2; }

@test "limits on namespaces" {
  background inner in_host unshare --user sleep 1000
  INNER=$(<"$BATS_TEST_TMPDIR/background/inner")
  wait_for is_apart "$INNER"
  echo '0 0 4294967295' | tee "/proc/$INNER/uid_map" >"/proc/$INNER/gid_map"
  (
    # A user namespace has limits of its own, which count for those in it.
    in_host() {
      (track && exec nsenter --target "$HOST_PID" --net --mount --wdns="$PWD" -- \
        nsenter --user="/proc/$INNER/ns/user" --preserve-credentials -- "$@")
    }
    mkdir "$BATS_TEST_TMPDIR/inner"
    note_complaints "$BATS_TEST_TMPDIR/inner"
    in_host sysctl -qw user.max_user_namespaces=0
    lacks user 'missing sysctl user.max_user_namespaces' '0; no user may have user namespaces' \
      'as root: sysctl -w user.max_user_namespaces=15000; to keep it: *' 'missing kernel: user namespaces'
    [[ $(said_of 'kernel: user namespaces' found) == *"No space left"* ]]
    [[ $(said_of 'kernel: user namespaces' remedy) == *user.max_user_namespaces* ]]
    run ! runs user
    remedied user
    runs user
    in_host sysctl -qw user.max_net_namespaces=0
    lacks user 'missing sysctl user.max_net_namespaces' '0; no user *' 'as root: sysctl -w user.max_net_namespaces=15000; *' \
      'missing kernel: user namespaces'
    run ! runs user
    remedied user
    in_host sysctl -qw user.max_mnt_namespaces=0
    lacks user 'missing sysctl user.max_mnt_namespaces' '0; no user *' 'as root: sysctl -w user.max_mnt_namespaces=15000; *'
    run ! runs user
    remedied user
    runs user
  )
}

is_apart() { [ "$(readlink "/proc/$1/ns/user")" != "$(readlink /proc/self/ns/user)" ]; }

@test "sysctls of other kernels than this" {
  local kernel=$BATS_TEST_TMPDIR/kernel name
  mkdir "$kernel"
  for name in cap_last_cap ngroups_max osrelease overflowgid overflowuid pid_max random; do
    cp -r --no-preserve=mode "/proc/sys/kernel/$name" "$kernel"
  done
  in_host mount --bind "$kernel" /proc/sys/kernel
  echo 0 >"$kernel/unprivileged_userns_clone"
  lacks user 'missing sysctl kernel.unprivileged_userns_clone' '0; only root *' \
    'as root: sysctl -w kernel.unprivileged_userns_clone=1; to keep it: *'
  lacks root 'warning sysctl kernel.unprivileged_userns_clone' '*; rootless containers need it' 'sysctl -w *'
  hide sysctl
  lacks user 'missing sysctl kernel.unprivileged_userns_clone' '*' 'as root: echo 1 >/proc/sys/kernel/unprivileged_userns_clone; *'
  remedied user
  show sysctl
  echo 1 >"$kernel/apparmor_restrict_unprivileged_userns"
  lacks user 'warning sysctl kernel.apparmor_restrict_unprivileged_userns' '1; runc and slirp4netns have no AppArmor profile*' \
    'as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; to keep it: *'
  remedied user
  echo 1 >"$kernel/apparmor_restrict_unprivileged_userns"
  in_host sh -c 'mkdir -p /etc/apparmor.d; touch /etc/apparmor.d/runc /etc/apparmor.d/slirp4netns'
  content user
}

@test "cgroups in two versions, which an old crun refuses" {
  mkdir "$BATS_TEST_TMPDIR"/cgroup{1,2}
  in_host mount -t cgroup2 cgroup2 "$BATS_TEST_TMPDIR/cgroup2"
  in_host grep -q ' cgroup ' /proc/self/mounts || in_host mount -t cgroup -o none,name=ocinet cgroup "$BATS_TEST_TMPDIR/cgroup1"
  says crun --version 'crun version 1.8.1'
  lacks root 'warning cgroups' 'hybrid, which crun 1.8.1 refuses' 'use runc, or a crun from 1.9 on*'
  show crun
  rm "$BATS_TEST_TMPDIR"/{crun,real-crun}
  says crun --version 'crun version 1.9'
  content root
}

# --- files and places

# is_told SERVER NAME: a command in the background is told so
is_told() { in_host grep -qs "nameserver $1" "/proc/$(cat "$BATS_TEST_TMPDIR/background/$2")/root/etc/resolv.conf"; }

@test "resolv.conf" {
  local who
  in_host sh -c ': >/etc/resolv.conf'
  for who in root user; do
    lacks $who 'warning /etc/resolv.conf' 'names no server' 'give containers one with --dns, such as --dns 9.9.9.9'
  done
  in_host sh -c 'echo nameserver 127.0.0.53 >/etc/resolv.conf; mkdir -p /run/systemd/resolve
    printf "nameserver 127.0.0.54\nnameserver 192.0.2.2\n" >/run/systemd/resolve/resolv.conf'
  lacks root 'warning /etc/resolv.conf' '127.0.0.53 is this machine itself*' '* --dns 192.0.2.2'
  [[ $(ocinet run --dns 192.0.2.2 -- cat /etc/resolv.conf) == *"nameserver 192.0.2.2"* ]]
  # Commands keep the file that they were given when the host replaces its own (rootlesskit#5).
  for who in root user; do
    background named-$who as $who "$OCINET" run --dns 192.0.2.53 -- sh -c 'echo ready; exec sleep 1000'
    wait_for is_told 192.0.2.53 named-$who
  done
  in_host sh -c 'sed s/53/54/ /etc/resolv.conf >/etc/new && mv /etc/new /etc/resolv.conf'
  for who in root user; do
    wait_for is_told 192.0.2.53 named-$who
    stop named-$who
  done
  # Forwarding goes off again.
  ocinet gc
  # slirp4netns and pasta ask it from outside.
  content user
  # What slirp4netns's sandbox hides from it the container asks itself, if it can.
  in_host sh -c 'cd /etc; echo nameserver 127.0.0.53 >/srv/resolv.conf; ln -sf ../srv/resolv.conf .'
  content user
  in_host rm /run/systemd/resolve/resolv.conf
  content user
  hide pasta
  lacks user 'warning /etc/resolv.conf' 'no names are found by uplink slirp4netns: /srv/resolv.conf *' \
    'as root: cp --remove-destination *'
  remedied user
}

@test "the directory of state" {
  local long other=$HOST_DIR/user/other runtime
  long=$BATS_TEST_TMPDIR/$(printf 'x%.0s' {1..90})
  runtime=/run/user/$(user_id)
  in_host umount /run/ocinet
  in_host chmod 1777 /run/ocinet
  lacks root 'missing state directory' '/run/ocinet is of user 0, mode 1777; *' 'chmod go-w /run/ocinet'
  run ! runs root
  remedied root
  in_host chown "$OCINET_TEST_USER" /run/ocinet
  lacks root 'missing state directory' '/run/ocinet is of user *' 'mv /run/ocinet /run/ocinet.old'
  remedied root
  in_host touch "$runtime/ocinet"
  lacks user 'missing state directory' '/run/user/*/ocinet is no directory' 'as root: mv *'
  run ! runs user
  remedied user
  mkdir "$long" "$other"
  chown "$OCINET_TEST_USER" "$long" "$other"
  otherwise "XDG_RUNTIME_DIR=$long" 'missing state directory' '* is too long: *' 'unset XDG_RUNTIME_DIR; or export *'
  otherwise OCINET_STATE_DIR=here 'missing state directory' '"here" is not an absolute path' 'unset OCINET_STATE_DIR XDG_RUNTIME_DIR; or export *'
  otherwise "OCINET_STATE_DIR=$other" 'warning state directory' "$other by your environment; *" 'unset OCINET_STATE_DIR XDG_RUNTIME_DIR; or *'
  in_host umount "$runtime"
  in_host rmdir "$runtime"
  lacks user 'warning state directory' '/tmp/ocinet-*, as you have no /run/user/*' \
    "log in *; or as root: install -d -m 700 -o $(user_id) $runtime"
  remedied user 's/.*; or //'
}

# otherwise VARIABLE=VALUE 'STATUS NAME' FOUND REMEDY: a user is told that with it, and no longer once it is unset
otherwise() {
  local variable=$1
  shift
  (
    eval "plain_$(declare -f as_user)"
    as_user() { plain_as_user env "$variable" "$@"; }
    lacks user "$@"
    as_user() { plain_as_user env "$variable" sh -c "${REMEDY%%;*}; exec \"\$@\"" sh "$@"; }
    content user
  )
}

@test "what systemd ends" {
  in_host mkdir -p /run/systemd/system
  in_host mount -t tmpfs -o mode=755 tmpfs /var/lib/systemd
  lacks user 'warning systemd linger' 'no; when you have logged out, *' "as root: loginctl enable-linger $OCINET_TEST_USER"
  # That is what it does.
  in_host mkdir /var/lib/systemd/linger
  in_host touch "/var/lib/systemd/linger/$OCINET_TEST_USER"
  content user
  mkdir "$CGROUP-web.service"
  CGROUP=$CGROUP-web.service lacks user 'warning systemd unit' "this is ocinet-*-web.service; *" '*systemd-run --user --scope*'
  content user
}

# --- the network

@test "no way out" {
  local who
  in_host ip route del default
  in_host ip -6 route del default
  lacks root 'warning default route' 'none; *' 'ip route add default via ROUTER, *' 'warning pasta'
  lacks user 'warning pasta' '*no IPv4 default route*' 'none is needed, as slirp4netns is used; or as root: ip route add default via ROUTER, *' \
    'warning default route'
  remedied user 's/.*; or //; s/ROUTER.*/192.0.2.2/'
  content root
}

@test "a firewall that forwards nothing" {
  in_host ip netns add box
  in_host iptables-nft -P FORWARD DROP
  content root
  hide iptables
  lacks root 'missing iptables FORWARD' 'policy DROP, and no iptables *' '*apt-get install iptables'
  show iptables
  ocinet up /run/netns/box
  in_host iptables-nft -F FORWARD
  lacks root 'warning iptables FORWARD' 'policy DROP, and our rule is gone*' 'iptables -I FORWARD *'
  run ! boxed
  remedied root
  boxed
  in_host nft 'add table inet fw; add chain inet fw in { type filter hook forward priority 0; policy drop; }'
  lacks root 'warning nft inet fw in' 'policy drop: *' 'nft insert rule inet fw in *; to keep it, *'
  run ! boxed
  remedied root
  boxed
  ocinet down box
  in_host ip netns delete box
}

boxed() { in_host ip netns exec box busybox ping -c 1 -W 1 192.0.2.2; }

@test "root's service" {
  local socket
  socket=$(helper_socket)
  lacks_nothing_of 'it has no socket for you, and is not needed'
  echo "$OCINET_TEST_USER weth ocinet0 1" >"$BATS_TEST_TMPDIR/policy"
  in_host cp "$BATS_TEST_TMPDIR/policy" /etc/ocinet/helper.conf
  lacks root 'warning helper' 'Cannot read line 1 of /etc/ocinet/helper.conf: *' 'edit /etc/ocinet/helper.conf; *'
  in_host sed -i s/weth/veth/ /etc/ocinet/helper.conf
  lacks root 'warning helper' 'there is /etc/ocinet/helper.conf, and no service that listens' 'systemctl start ocinet-helper, or ocinet helper'
  start_helper "TEST_USER veth ocinet0 1" "TEST_USER port 8000-8100"
  content root
  [ "$(said_of helper found)" = "listens for users $(user_id)" ]
  lacks_nothing_of "containers: 1 more on \"ocinet0\"; ports: 8000-8100 ($socket)"
  [ "$(said_of uplink found)" = helper ]
  in_host chmod 600 /dev/net/tun
  lacks user 'warning /dev/net/tun' 'cannot be opened (*); helper does without it' 'as root: chmod 666 /dev/net/tun'
  remedied user
  hold_namespace box
  as_user "$OCINET" up --uplink helper --id box "$(holder_of box)"
  lacks user 'warning helper' "containers: 0 more on *" 'end a container (ocinet ls); or as root: raise the number in */helper.conf, *'
  [ "$(said_of uplink found)" = pasta ]
  policy "TEST_USER veth ocinet0 2"
  kill -HUP "$(helper_pid)"
  wait_for content user
  as_user "$OCINET" down box
  in_host kill -STOP "$(helper_pid)"
  in_host rm "$socket"
  background deaf in_host socat UNIX-LISTEN:"$socket",fork,user="$OCINET_TEST_USER" SYSTEM:'true'
  wait_for in_host test -S "$socket"
  lacks user 'warning helper' "it does not answer on $socket: *" 'as root: systemctl start ocinet-helper'
  in_host kill -CONT "$(helper_pid)"
}

# lacks_nothing_of FOUND: a user is content, and told that of the service
lacks_nothing_of() {
  content user
  [ "$(said_of helper found)" = "$1" ] || fail "$(said_of helper found)"
}
