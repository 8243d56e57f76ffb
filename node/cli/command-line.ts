// The command line: parses with little loaded, then loads the verb's own code.
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { tellFailure } from './failure.ts';
import { Screen } from './output/screen.ts';
import { ReaderGone } from './output/sink.ts';
import { parse, verbOf } from './program.ts';
import { realWorld, type World } from './world.ts';

/** Runs one command and answers its exit code. @param argv without node and script. */
export async function main(argv: readonly string[], world: World): Promise<number> {
  const verb = verbOf(argv);
  let screen = screenOf(world, {});
  let flags: Readonly<Record<string, unknown>> = beforeScript(argv);
  try {
    const parsed = parse(argv);
    if (parsed.kind === 'help') {
      await screen.answer(parsed.text);
      return 0;
    }
    if (parsed.kind === 'version') {
      const { ownVersion } = await import('./version.ts');
      await screen.answer(ownVersion());
      return 0;
    }
    flags = parsed.flags;
    screen = screenOf(world, flags);
    const { command } = await parsed.spec.load();
    const code = await command({ verb: parsed.spec.name, args: parsed.args, flags, world, screen });
    await screen.close();
    return code;
  } catch (error) {
    if (error instanceof ReaderGone) return EXIT.stdoutClosed;
    await screen.close();
    await tellFailure(error, screen, { json: flags.json === true, verbose: flags.verbose === true });
    return exitCodeOf(error, verb);
  }
}

/** What errors in parsing need to know: whether --json was meant for skein and not for a script. */
function beforeScript(argv: readonly string[]): Readonly<Record<string, unknown>> {
  const own = argv.slice(0, Math.max(0, argv.indexOf('--')) || argv.length);
  const end = own.findIndex((arg, at) => at > 0 && !arg.startsWith('-') && verbOf(own.slice(0, at)) === 'run');
  return { json: own.slice(0, end < 0 ? own.length : end).includes('--json') };
}

function screenOf(world: World, flags: Readonly<Record<string, unknown>>): Screen {
  const { env } = world.surroundings;
  const plain = env.TERM === 'dumb' || (env.CI !== undefined && env.CI !== '' && env.CI !== 'false');
  const how = flags.progress;
  return new Screen({
    stdout: world.stdout,
    stderr: world.stderr,
    oneTarget: world.oneTarget || (world.stdout.isTerminal && world.stderr.isTerminal),
    quiet: flags.quiet === true,
    json: flags.json === true,
    monotonic: () => world.clock.monotonic(),
    live: how === 'bar' || (!plain && how !== 'plain' && how !== 'none'),
  });
}

/** The process around `main`: its exit code, and nothing left behind. */
export async function runProcess(argv: readonly string[]): Promise<never> {
  const world = realWorld();
  // A write to a closed descriptor must not end the command: the sinks tell of it where it matters.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  process.exit(await main(argv, world));
}
