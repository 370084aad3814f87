# look.pl VERB CGROUP HOST_PID HOST_MOUNTS [DIRECTORY...]: what a test asks of its host again and again, in one process.
#   snapshot: run in the host: links, addresses, routes, rules, nft, qdiscs, network sysctls, what is in the directories, and
#     the test's processes, without what changes by itself
#   pids: of what the test started in host or peer
#   processes: their command lines, without pids, which differ every time
#   left: what a test has left behind
# CGROUP is the test's cgroup (an ordinary user's test has none); for the others see hosts.bash.
use strict;
use warnings;
open STDERR, ">", "/dev/null";

my ($verb, $cgroup, $host_pid, $mounts, @directories) = @ARGV;

sub content_of {
  my ($path) = @_;
  open my $file, "<", $path or return;
  local $/;
  return scalar <$file>;
}

sub names_in {
  my ($path) = @_;
  opendir my $directory, $path or return;
  return sort grep { !/^\.\.?$/ } readdir $directory;
}

# output_of INPUT PROGRAM...
sub output_of {
  my ($input, @command) = @_;
  pipe my $reader, my $writer;
  print $writer $input;
  close $writer;
  open STDIN, "<&", $reader;
  open my $pipe, "-|", @command or return "";
  local $/;
  return <$pipe> // "";
}

# Some processes, like podman's conmon, leave the cgroup, but not the mounts.
sub pids {
  return if $cgroup eq "";
  my %found;
  for my $path (glob("$cgroup*/cgroup.procs $cgroup*/*/cgroup.procs")) {
    $found{$_} = 1 for split /\n/, content_of($path) // "";
  }
  for my $pid (grep { /^\d+$/ } names_in("/proc")) {
    $found{$pid} = 1 if (readlink("/proc/$pid/ns/mnt") // "") eq $mounts;
  }
  delete @found{$$, $host_pid};
  return sort { $a <=> $b } keys %found;
}

# A zombie has no command line.
sub processes {
  my @lines = map { (content_of("/proc/$_/cmdline") // "") =~ tr/\0/ /r =~ s/ $//r } pids();
  @lines = grep { !m{ agent --workers 2$| worker /run/ocinet/calls/} } @lines if $ENV{OCINET_TEST_AGENT};
  return sort grep { $_ ne "" } @lines;
}

# Of links, a bridge is meant to stay; whatever has a container at its other end is not.
sub left {
  my $root = "/proc/$host_pid/root";
  my @links = grep { !/^(lo|eth0|bonding_masters)$/ && !-e "$root/sys/class/net/$_/bridge" } names_in("$root/sys/class/net");
  return ((map { "process: $_" } processes()), (map { "namespace: $_" } names_in("$root/run/netns")), map { "link: $_" } @links);
}

# The kernel notes a carrier that came or went up to a second later.
sub links {
  my $volatile = join "|", qw(ifindex link_index operstate stats64 stats valid_life_time preferred_life_time tentative
    forward_delay_timer hold_timer message_age_timer hello_timer tcn_timer topology_change_timer gc_timer multicast_querier
    fdb_n_learned);
  my $links = output_of("", qw(ip -d -j address));
  $links =~ s/\},\{"ifindex"/},\n{"ifindex"/g;
  $links =~ s/"(?:$volatile)":(?:"[^"]*"|[^",{}\[\]]*),?//g;
  $links =~ s/"(?:NO-CARRIER|LOWER_UP)",?//g;
  return $links =~ s/,(?=[\]}])//gr;
}

sub routing {
  my ($family) = @_;
  my $lines = output_of("route show table all\nrule\nneigh show nud permanent\nneigh show proxy\n", "ip", $family,
    qw(-force -batch -));
  return $lines =~ s/ expires \d+sec| linkdown//gr;
}

sub ruleset {
  return output_of("", qw(nft list ruleset)) =~ s/packets \d+ bytes \d+/packets N bytes N/gr =~ s/ expires [0-9a-z]+//gr;
}

sub settings_below {
  my ($directory) = @_;
  return map {
    my $path = "$directory/$_";
    -d $path ? settings_below($path) : $_ eq "nf_conntrack_count" ? () : "$path = " . (content_of($path) // "\n");
  } names_in($directory);
}

my %letters = (0040000 => "d", 0100000 => "f", 0120000 => "l", 0140000 => "s", 0010000 => "p");

sub files_below {
  my ($directory, $at) = @_;
  return map {
    my $path = "$directory/$_";
    my $mode = (lstat $path)[2] // 0;
    my $type = $letters{ $mode & 0170000 } // "other";
    (sprintf("%s %o %s %s\n", $type, $mode & 07777, "$at$_", readlink($path) // ""),
      $type eq "d" ? files_below($path, "$at$_/") : ());
  } names_in($directory);
}

sub snapshot {
  my @sections = (
    "links and addresses" => links(),
    (map { ("routes, rules, neighbours $_" => routing($_)) } "-4", "-6"),
    "ruleset" => ruleset(),
    "qdiscs" => output_of("", qw(tc qdisc show)),
    "sysctls" => join("", settings_below("/proc/sys/net")),
    # Without those by which an agent is called.
    "state files" => join("", grep { !m{^\w+ \d+ calls[/ ]} } map { files_below($_, "") } @directories),
    "namespaces" => join("", map { "$_\n" } names_in("/run/netns")),
    "processes" => join("", map { "$_\n" } processes()),
  );
  while (my ($title, $text) = splice @sections, 0, 2) { print "== $title\n$text" }
  return;
}

my %verbs = (snapshot => \&snapshot, pids => \&pids, processes => \&processes, left => \&left);
my @lines = $verbs{$verb}->();
print map { "$_\n" } @lines;
