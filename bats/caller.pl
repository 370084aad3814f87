# caller.pl DIRECTORY COMMAND...: becomes the command, with everything that a wrapper could lose on the way.
use strict;
use warnings;
use Fcntl;
use POSIX ();
use Socket;

my ($directory, @command) = @ARGV;
open my $file, "+>>", "$directory/inherited-file" or die;
-e "$directory/inherited-fifo" or POSIX::mkfifo("$directory/inherited-fifo", 0600) or die;
sysopen my $fifo, "$directory/inherited-fifo", O_RDWR | O_NONBLOCK or die;
socketpair my $socket, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
# Perl's own close on exec. Of the caller's, some have a number of one digit, and some of several.
my %numbers = (200 => [7, 12, 60], 201 => [8, 63], 202 => [9, 10, 61]);
POSIX::dup2(fileno $file, 200) && POSIX::dup2(fileno $fifo, 201) && POSIX::dup2(fileno $socket, 202) or die;
for my $from (sort keys %numbers) {
  POSIX::dup2($from, $_) or die for @{ $numbers{$from} };
  POSIX::close($from);
}

my $bytes = join "", map { chr } grep { $_ } 1 .. 255;
chdir "$directory/dir\xff \n" or die;
%ENV = (
  %ENV,
  BYTES => $bytes, EMPTY => "", "a-b" => "\xfe", "BASH_FUNC_f%%" => "() { :; }", LONG => "x" x 100_000, LINE => "a\n\nb\n",
  IFS => "x", OPTIND => 7, PPID => 9, PS1 => "p", PWD => "/nowhere", OLDPWD => "/", SHLVL => 5, _ => "u", line => 1, said => 1,
  path => 2, why => 3, runtime => 4, LISTEN_PID => $$, LISTEN_FDS => 1, DENO_DIR => "/d", NODE_OPTIONS => "", QUOTE => "it's",
  PROBE_PARENT => getppid, PROBE_GROUP => getpgrp, PROBE_SESSION => session(),
);
sub session {
  open my $stat, "<", "/proc/self/stat" or die;
  return (split / /, <$stat> =~ s/.*\) //r)[3];
}
umask 027;
POSIX::nice(3);
$SIG{$_} = "IGNORE" for "HUP", "PIPE", "USR1";
POSIX::sigaction(40, POSIX::SigAction->new("IGNORE"));
POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(POSIX::SIGUSR2(), POSIX::SIGALRM(), 36)) unless $ENV{PROBE_WAIT};
exec { $command[0] } @command, $bytes, "", "--help", "-x", "a b\n", "*", '$HOME' or die;
