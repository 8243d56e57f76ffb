// Keeps a long-lived child from the descriptors of whoever starts it: LevelDB opens its files for all children to have,
// and Node passes on what it inherited itself. A lock or a pipe held by a child that nobody thinks of never comes free.
import { existsSync } from 'node:fs';

/** In every Debian and macOS; undefined elsewhere. */
export const PERL = ['/usr/bin/perl', '/usr/local/bin/perl'].find((path) => existsSync(path));

const CLOSE = `
my %kept = map { $_ => 1 } 0 .. 2, split /,/, shift;
opendir my $all, '/dev/fd';
my @open = grep { !$kept{$_} } readdir $all;
closedir $all;
for (@open) { open my $each, '<&=', $_ and close $each if /^\\d+$/ }
exec { $ARGV[0] } @ARGV or exit 127;
`;

/** The command with all closed but the first three descriptors and `kept`; as it is where there is no perl. */
export function withoutOthers(command: readonly string[], kept: readonly number[] = []): readonly string[] {
  return PERL === undefined ? command : [PERL, '-e', CLOSE, kept.join(','), ...command];
}
