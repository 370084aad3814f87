# What hosts.bash does with system calls, in one process where mount, sysctl and mkdir would be thirty.
#   hosts.pl keep HOST PEER DIRECTORY [USER]: sets both network namespaces up, makes a mount namespace for the host, furnishes
#     it, prints its own pid and what /proc/PID/ns/mnt links to, and sleeps
#   hosts.pl settle HOST PEER: sets both network namespaces up
#   hosts.pl furnish DIRECTORY [USER]: furnishes the mount namespace it is called in
use strict;
use warnings;
use Config;

# Numbers of system calls: asm/unistd.h; flags: linux/mount.h, sched.h.
my %calls = $Config{archname} =~ /^aarch64/
  ? (mount => 40, umount2 => 39, unshare => 97, setns => 268)
  : (mount => 165, umount2 => 166, unshare => 272, setns => 308);
my ($BIND, $MOVE, $REC, $PRIVATE, $DETACH) = (1 << 12, 1 << 13, 1 << 14, 1 << 18, 2);
my ($NEWNS, $NEWNET) = (1 << 17, 1 << 30);

sub call {
  my ($name, @arguments) = @_;
  syscall($calls{$name}, @arguments) == 0 or die "$name @arguments: $!\n";
}
sub mount_at { my ($from, $to, $type, $flags, $data) = @_; call("mount", $from, $to, $type, $flags, $data // "") }
sub bind_at { my ($from, $to, $flags) = @_; mount_at($from, $to, "", $BIND | ($flags // 0)) }
sub tmpfs { my ($to, $mode) = @_; mount_at("tmpfs", $to, "tmpfs", 0, "mode=$mode") }

sub make_directories {
  for my $path (@_) { -d $path or mkdir $path or die "mkdir $path: $!\n" }
}

sub write_file {
  my ($path, $text) = @_;
  open my $file, ">", $path or die "open $path: $!\n";
  syswrite $file, $text;
  close $file or die "write $path: $!\n";
}

# settle NAMESPACE...: duplicate address detection would hold addresses back for a second.
sub settle {
  for my $name (@_) {
    open my $namespace, "<", "/run/netns/$name" or die "open /run/netns/$name: $!\n";
    call("setns", fileno $namespace, $NEWNET);
    write_file("/proc/sys/net/ipv6/conf/$_/accept_dad", 0) for "eth0", "lo";
    write_file("/proc/sys/net/ipv4/ip_forward", 0);
    write_file("/proc/sys/net/ipv6/conf/all/forwarding", 0);
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  }
}

sub target_of {
  my ($path) = @_;
  while (defined(my $target = readlink $path)) {
    $path = $target =~ m{^/} ? $target : ($path =~ s{[^/]*$}{}r) . $target;
  }
  return $path;
}

# furnish DIRECTORY USER: what the host sees of the file system. /sys shows the network namespace in which it was mounted, so
# it is mounted again, and the cgroups, which it carries, are moved over.
sub furnish {
  my ($directory, $user) = @_;
  bind_at("/sys/fs/cgroup", "$directory/cni", $REC);
  call("umount2", "/sys", $DETACH);
  mount_at("sysfs", "/sys", "sysfs", 0);
  mount_at("$directory/cni", "/sys/fs/cgroup", "", $MOVE);
  my $resolv = target_of("/etc/resolv.conf");
  tmpfs("/run", 755);
  make_directories(map { "/run/$_" } "lock", "netns", "ocinet", "user");
  my $parent = $resolv =~ s{/[^/]*$}{}r;
  make_directories($parent =~ m{^/run/} ? $parent : ());
  write_file("$directory/resolv.conf", "nameserver 192.0.2.2\n");
  write_file($resolv, "") unless -e $resolv;
  bind_at("$directory/resolv.conf", $resolv);
  bind_at("$directory/state", "/run/ocinet");
  tmpfs("/etc/ocinet", 755);
  make_directories("/etc/ocinet/net.d");
  bind_at("$directory/net.d", "/etc/ocinet/net.d");
  bind_at("$directory/cni", "/var/lib/cni");
  furnish_user($directory, $user) if length($user // "");
}

sub furnish_user {
  my ($directory, $user) = @_;
  my ($uid, $gid) = (getpwnam $user)[2, 3];
  for my $path (map { "$directory/$_" } "user", "user/home", "user/run") {
    make_directories($path);
    chmod 0700, $path;
    chown $uid, $gid, $path;
  }
  chmod 0711, "$directory/user";
  make_directories("/run/user/$uid");
  bind_at("$directory/user/run", "/run/user/$uid");
}

umask 022;
my ($verb, @words) = @ARGV;
if ($verb eq "settle") { settle(@words) }
elsif ($verb eq "furnish") { furnish(@words) }
else {
  my ($host, $peer, $directory, $user) = @words;
  settle($peer, $host);
  call("unshare", $NEWNS);
  mount_at("none", "/", "", $REC | $PRIVATE);
  furnish($directory, $user);
  syswrite STDOUT, "$$ " . readlink("/proc/self/ns/mnt") . "\n";
  open STDOUT, ">", "/dev/null";
  open STDERR, ">", "/dev/null";
  sleep;
}
