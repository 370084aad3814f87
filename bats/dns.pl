# perl dns.pl SERVER udp|tcp EDNS|0 TYPE NAME...: asks for each name, and prints a line for each: the response code, "tc" if
# the answer is cut, how many records it has, and the data of the first as hexadecimal digits; or "mute".
use strict;
use warnings;
use IO::Socket::IP;

my ($server, $transport, $edns, $type, @names) = @ARGV;
my $socket = IO::Socket::IP->new(
    PeerAddr => $server, PeerPort => 53, Proto => $transport, Type => $transport eq "tcp" ? SOCK_STREAM : SOCK_DGRAM,
    Timeout => 2,
) or do { print "mute\n" for @names; exit };

for my $i (0 .. $#names) {
    my $question = join("", map { pack("C/a", $_) } split(/\./, $names[$i])) . pack("C n n", 0, $type, 1);
    my $packet = pack("n6", $i + 1, 0x100, 1, 0, 0, $edns > 0) . $question;
    $packet .= pack("C n n N n", 0, 41, $edns, 0, 0) if $edns > 0;
    $socket->syswrite($transport eq "tcp" ? pack("n/a", $packet) : $packet);
    my $answer = receive();
    if (!defined $answer || length $answer < 12) { print "mute\n"; next }
    my ($id, $flags, undef, $count) = unpack("n4", $answer);
    die "another question's answer\n" if $id != $i + 1;
    my $at = 12 + length($question);
    my $data = $count ? unpack("H*", substr($answer, $at + 12, unpack("n", substr($answer, $at + 10, 2)))) : "";
    printf "%d%s %d %s\n", $flags & 15, $flags & 0x200 ? " tc" : "", $count, $data;
}

sub receive {
    my $ready = "";
    vec($ready, $socket->fileno, 1) = 1;
    return undef if !select($ready, undef, undef, 5);
    my $bytes = "";
    $socket->sysread($bytes, 65535) or return undef;
    return $bytes if $transport eq "udp";
    while (length $bytes < 2 || length $bytes < 2 + unpack("n", $bytes)) {
        $socket->sysread($bytes, 65535, length $bytes) or return undef;
    }
    return substr($bytes, 2, unpack("n", $bytes));
}
