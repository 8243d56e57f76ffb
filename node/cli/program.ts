// The table of verbs as a commander program: parses, and answers which verb was called with what. Runs nothing.
import { Command, CommanderError, Option } from 'commander';
import { SkeinError } from '../../protocol/errors.ts';
import type { Flags } from '../config/config.ts';
import { type FlagSpec, GLOBAL, LATER_VERBS, VERBS, type VerbSpec } from './verbs.ts';

export type Parsed =
  | { readonly kind: 'verb'; readonly spec: VerbSpec; readonly args: readonly string[]; readonly flags: Flags }
  /** Text for stdout. */
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'version' };

/** Fails with `usage` or `not-in-this-version`. @param argv without the program's own name. */
export function parse(argv: readonly string[]): Parsed {
  const said: { verb?: VerbSpec; args: readonly string[]; flags: Flags; help: string } = {
    args: [],
    flags: {},
    help: '',
  };
  const program = makeProgram(!argv.includes('--help'), (text) => {
    said.help += text;
  });
  for (const spec of VERBS) {
    const command = addVerb(program, spec);
    command.action(() => {
      said.verb = spec;
      said.args = command.args;
      said.flags = { ...spoken(program), ...spoken(command) };
    });
  }
  if (argv.length === 0) return { kind: 'help', text: program.helpInformation() };
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version') return { kind: 'version' };
    if (error.code.startsWith('commander.help') && error.exitCode === 0) return { kind: 'help', text: said.help };
    throw usage(error, argv);
  }
  if (said.verb === undefined) return { kind: 'help', text: program.helpInformation() };
  return { kind: 'verb', spec: said.verb, args: said.args, flags: said.flags };
}

/** The verb that a command line means, also where it cannot be parsed: it decides what an error exits with. */
export function verbOf(argv: readonly string[]): string | undefined {
  const valued = GLOBAL.filter((flag) => flag.form.includes('<')).map((flag) => flag.form.split(' ')[0]);
  for (let at = 0; at < argv.length; at += 1) {
    const arg = argv[at] ?? '';
    if (valued.includes(arg)) at += 1;
    else if (!arg.startsWith('-')) return arg;
  }
  return undefined;
}

function makeProgram(brief: boolean, write: (text: string) => void): Command {
  const program = new Command('skein')
    .description('Run scripts on a mesh of machines as simply as here.')
    .version('-', '--version', 'print the version')
    .helpOption('-h, --help', 'the flags most used; --help shows all')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => undefined, outputError: () => undefined })
    .configureHelp({ visibleOptions: (command) => command.options.filter((option) => !brief || isCommon(option)) });
  for (const flag of GLOBAL) program.addOption(option(flag));
  if (brief) program.addHelpText('afterAll', '\nThese are the flags most used; --help shows all.');
  return program;
}

const commonForms = new WeakSet<Option>();
const isCommon = (each: Option): boolean => commonForms.has(each) || each.long === '--version';

function option(flag: FlagSpec): Option {
  const made = new Option(flag.form, flag.says);
  if (flag.many === true)
    made.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
  if (flag.common === true) commonForms.add(made);
  return made;
}

function addVerb(program: Command, spec: VerbSpec): Command {
  const [group, name] = spec.name.includes(' ') ? spec.name.split(' ') : [undefined, spec.name];
  const parent = group === undefined ? program : groupOf(program, group);
  const command = parent.command(`${name} ${spec.args}`.trim(), { hidden: spec.hidden === true });
  command.description(spec.says).helpOption('-h, --help', 'the flags most used; --help shows all');
  if (spec.passThrough === true) command.passThroughOptions();
  const own = spec.flags.map(option);
  for (const each of own) command.addOption(each);
  for (const flag of GLOBAL) {
    const global = option(flag);
    // A verb's own flag of that name goes first: `outputs get --output-dir` before anything global.
    const taken = own.some(
      (each) => each.long === global.long || (each.short !== undefined && each.short === global.short),
    );
    if (!taken) command.addOption(global);
  }
  return command.copyInheritedSettings(program);
}

function groupOf(program: Command, name: string): Command {
  const there = program.commands.find((command) => command.name() === name);
  return (
    there ??
    program
      .command(name)
      .description(GROUPS[name] ?? '')
      .copyInheritedSettings(program)
  );
}

const GROUPS: Readonly<Record<string, string>> = {
  outputs: 'the files that a job left',
  key: 'keys for people and programs',
  config: 'settings of this user',
};

function spoken(command: Command): Flags {
  const values = command.opts<Record<string, unknown>>();
  return Object.fromEntries(Object.entries(values).filter(([name]) => command.getOptionValueSource(name) === 'cli'));
}

function usage(error: CommanderError, argv: readonly string[]): SkeinError {
  const verb = verbOf(argv);
  const what = error.message.replace(/^error: /, '').split('\n', 1)[0] ?? error.message;
  const known = VERBS.some((spec) => spec.name === verb || spec.name.startsWith(`${verb} `));
  const help = verb !== undefined && known ? `see skein ${verb} --help` : 'see skein --help';
  if (verb !== undefined && LATER_VERBS.includes(verb)) return later(`skein ${verb}`);
  if (what === '(outputHelp)') {
    const names = VERBS.filter((each) => each.name.startsWith(`${verb} `)).map((each) => each.name.split(' ')[1]);
    return new SkeinError('usage', `skein ${verb} needs one of ${names.join(', ')}`, { fix: help });
  }
  const unknown = /unknown option '(--?[^'=]+)/.exec(what)?.[1];
  const spec = VERBS.filter((each) => each.name === verb || each.name.startsWith(`${verb} `));
  if (unknown !== undefined && spec.some((each) => each.later?.includes(unknown)))
    return later(`${unknown} of skein ${verb}`);
  const guess = /\(Did you mean ([^?]+)\?\)/.exec(error.message)?.[1];
  return new SkeinError('usage', what, { fix: guess === undefined ? help : `did you mean ${guess}? ${help}` });
}

function later(what: string): SkeinError {
  return new SkeinError('not-in-this-version', `${what} is not in this version`, { fix: 'skein --help shows what is' });
}
