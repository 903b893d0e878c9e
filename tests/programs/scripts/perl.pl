# SPDX-License-Identifier: MIT
use strict;
use warnings;
$| = 1;
my %h;
$h{ $_ % 9973 } .= chr( 97 + $_ % 26 ) for 1 .. 300_000;
my @k = sort { length( $h{$b} ) <=> length( $h{$a} ) || $a <=> $b } keys %h;
print scalar(@k), " $k[0] ", substr( $h{ $k[0] }, 0, 20 ), "\n";
my $text = join ' ', map { "word$_" } 1 .. 20_000;
my $n = () = $text =~ /\bword\d*7\b/g;
print "$n matches\n";
( my $copy = $text ) =~ s/(\d+)/<$1>/g;
print length($copy), "\n";
for my $i ( 1 .. 5 ) {
    my $pid = fork // die;
    exit $i if !$pid;
    waitpid $pid, 0;
    print "child $i: ", $? >> 8, "\n";
}
print `echo from a shell`;
print join( ',', map { $_ * $_ } grep { $_ & 1 } 1 .. 15 ), "\n";
