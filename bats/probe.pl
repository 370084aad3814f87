# Says of itself what a wrapper could change, a line each; then, if there is PROBE_WAIT, each signal that it gets until that
# file is there.
use strict;
use warnings;
use POSIX ();

$| = 1;
sub hex_of { join "", map { sprintf "%02x", ord } split //, $_[0] }
sub say_line { print join(" ", @_), "\n" }

# What perl itself has open is told from what it was given by the first look, which has one more: the directory.
opendir my $dir, "/proc/self/fd" or die;
my @open = sort { $a <=> $b } grep { /^\d+$/ && $_ != fileno $dir } readdir $dir;
for my $fd (@open) {
  my $to = readlink "/proc/self/fd/$fd" or next;
  open my $info, "<", "/proc/self/fdinfo/$fd" or next;
  my ($flags) = map { /^flags:\s*(\d+)/ ? $1 : () } <$info>;
  next if $to =~ /\/probe\.pl$/;
  say_line "fd", $fd, $to =~ s/\[\d+\]//r, $flags;
}
open my $limits, "<", "/proc/self/limits" or die;
print "limit $_" for grep { !/^Limit/ } <$limits>;
open my $status, "<", "/proc/self/status" or die;
print for grep { /^(Umask|SigBlk|SigIgn|SigCgt|NoNewPrivs|THP|Seccomp):/ } <$status>;
open my $environ, "<", "/proc/self/environ" or die;
{
  local $/;
  # Pids differ. The name for who reads it, for bytes no more than their numbers.
  for (split /\0/, <$environ>) {
    my ($name, $value) = /^(.*?)=(.*)$/s or next;
    say_line "variable", $name =~ /^\w+$/ ? $name : hex_of($name), $name =~ /^(PROBE_|LISTEN_PID)/ ? "" : hex_of($value);
  }
}
open my $cmdline, "<", "/proc/self/cmdline" or die;
{ local $/; my @words = split /\0/, <$cmdline>, -1; say_line "words", map { hex_of($_) } @words; }
say_line "directory", hex_of(readlink "/proc/self/cwd");
open my $stat, "<", "/proc/self/stat" or die;
my @fields = split / /, (<$stat> =~ s/.*\) //r);
# The parent, the group and the session, as far as they are the caller's; the terminal, and who is in front of it.
say_line "parent", $fields[1] == $ENV{PROBE_PARENT} ? "caller" : "other";
say_line "group", $fields[2] == $$ ? "own" : $fields[2] == $ENV{PROBE_GROUP} ? "caller's" : "other";
say_line "session", $fields[3] == $ENV{PROBE_SESSION} ? "caller's" : "other";
say_line "terminal", $fields[4] ? "yes" : "no", $fields[5] == $fields[2] ? "foreground" : "background";
say_line "nice", $fields[16], "policy", $fields[38];
open my $children, "<", "/proc/self/task/$$/children" or die;
say_line "children", scalar split / /, (<$children> // "");
say_line "listen", ($ENV{LISTEN_PID} // "") eq $$ ? "own" : "no";
exit($ENV{PROBE_EXIT} // 0) unless $ENV{PROBE_WAIT};

# Each by its number: those of real time have no names in perl.
my %got;
for my $number (1 .. 31, 34 .. 64) {
  next if $number == 9 || $number == 19;
  my $action = POSIX::SigAction->new(sub { syswrite STDOUT, "got $number\n" }, POSIX::SigSet->new, POSIX::SA_RESTART());
  POSIX::sigaction($number, $action);
}
say_line "ready", $$;
select undef, undef, undef, 0.01 until -e $ENV{PROBE_WAIT};
say_line "over";
exit 7;
