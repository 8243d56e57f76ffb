// Checks which room may import which. dependency-cruiser finds nothing at all with a parser it does not know and exits 0,
// so the number of modules it saw is asserted too; and forms of import that it does not see are refused.
import { globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseSync } from '@swc/core';
import { cruise } from 'dependency-cruiser';

const MODULES_MIN = 40;
/** Imports the sources or what is built of them, whichever are there. */
const LAUNCHER = 'node/launcher.js';

/** The floors of node/: an arrow goes down, never up. Rooms of one floor may not import each other. */
const floors: readonly (readonly string[])[] = [
  ['cli'],
  ['simulator'],
  ['leader', 'worker', 'mesh'],
  ['membership', 'files'],
  ['gossip', 'consensus', 'blob', 'identity'],
  ['policy', 'provider', 'runtime', 'transport', 'storage', 'config'],
];

const room = (name: string): string => `^node/${name}/`;

/** A room imports neither its own floor nor those above; the uppermost has nothing to be kept from. */
const floorRules = floors.flatMap((names, level) =>
  names.map((name) => ({
    name: `${name}-imports-down`,
    severity: 'error' as const,
    from: { path: room(name) },
    to: { path: above(name, level) },
  })),
);

function above(name: string, level: number): readonly string[] {
  const kept = floors
    .slice(0, level + 1)
    .flat()
    .filter((other) => other !== name)
    .map(room);
  return kept.length > 0 ? kept : ['^$'];
}

/** What the pure rooms may import beside each other: schemas, and the functions that check by them. */
const pureLibraries = ['^node_modules/typebox/'];

const rules = [
  {
    name: 'no-cycles',
    severity: 'error',
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  },
  {
    name: 'protocol-imports-nothing',
    severity: 'error',
    from: { path: '^protocol/' },
    to: { pathNot: ['^protocol/', ...pureLibraries] },
  },
  {
    name: 'policy-is-pure',
    severity: 'error',
    from: { path: '^node/policy/' },
    to: { pathNot: ['^(protocol|node/policy)/', ...pureLibraries] },
  },
  { name: 'gateway-knows-no-node', severity: 'error', from: { path: '^gateway/' }, to: { path: '^node/' } },
  {
    name: 'client-knows-protocol-only',
    severity: 'error',
    from: { path: '^gateway/client/' },
    to: { path: '^gateway/(?!client/)' },
  },
  {
    name: 'only-main-and-cli-import-gateway',
    severity: 'error',
    from: { path: '^node/', pathNot: '^node/((main|gateway-part)\\.ts|cli/)' },
    to: { path: '^gateway/', pathNot: '^gateway/port\\.ts$' },
  },
  {
    name: 'nothing-imports-tests',
    severity: 'error',
    from: { path: '^(protocol|node|gateway|scripts)/' },
    to: { path: '^test/' },
  },
  {
    name: 'libp2p-in-one-room',
    severity: 'error',
    from: { pathNot: '^(node/(transport|identity|gossip)|test)/' },
    to: { path: 'node_modules/(@libp2p|libp2p|@multiformats)/' },
  },
  {
    name: 'level-in-one-room',
    severity: 'error',
    from: { pathNot: '^(node/storage|test)/' },
    to: { path: 'node_modules/(level|classic-level)/' },
  },
  {
    name: 'fastify-in-one-room',
    severity: 'error',
    from: { pathNot: '^(gateway|test)/' },
    to: { path: 'node_modules/(fastify|@fastify)/' },
  },
  ...floorRules,
];

interface Statement {
  readonly type: string;
}
interface Walker {
  visitStatement(statement: Statement): Statement;
}

/** swc parses `using` but its walker stops at it; a declaration of that kind imports nothing. */
function passOverUsing(): void {
  const { Visitor } = createRequire(import.meta.url)('@swc/core/Visitor.js') as { Visitor: { prototype: Walker } };
  const { visitStatement } = Visitor.prototype;
  Visitor.prototype.visitStatement = function visit(this: Walker, statement) {
    return statement.type === 'UsingDeclaration' ? statement : visitStatement.call(this, statement);
  };
}

/** What dependency-cruiser passes over: `import('x').T` as a type, and `import(…)` of anything but a plain string. */
function unseenImports(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const found = Object.values(node).flatMap(unseenImports);
  const { type, callee, arguments: args } = node as Readonly<Record<string, unknown>>;
  if (type === 'TsImportType') found.push('an import type: write `import type`');
  if (type !== 'CallExpression' || (callee as Statement).type !== 'Import') return found;
  const [of] = args as readonly { readonly expression: Statement }[];
  if (of?.expression.type !== 'StringLiteral') found.push('import() of what is no plain string');
  return found;
}

passOverUsing();
const places = ['protocol', 'node', 'gateway'];
const { output } = await cruise(places, {
  ruleSet: { forbidden: rules },
  validate: true,
  parser: 'swc',
  doNotFollow: { path: 'node_modules' },
  tsPreCompilationDeps: true,
  enhancedResolveOptions: {
    extensions: ['.ts', '.js'],
    exportsFields: ['exports'],
    conditionNames: ['import', 'node', 'default'],
  },
} as never);
if (typeof output === 'string') throw new Error(output);
for (const violation of output.summary.violations) {
  process.stdout.write(`${violation.rule.name}: ${violation.from} -> ${violation.to}\n`);
}
for (const path of globSync(`{${places}}/**/*.{ts,js}`, { exclude: [LAUNCHER] })) {
  for (const what of unseenImports(parseSync(readFileSync(path, 'utf8'), { syntax: 'typescript', target: 'esnext' }))) {
    process.stdout.write(`unseen-import: ${path} -> ${what}\n`);
    process.exitCode = 1;
  }
}
if (output.summary.totalCruised < MODULES_MIN) {
  process.stdout.write(`only ${output.summary.totalCruised} modules were seen; at least ${MODULES_MIN} are there\n`);
  process.exitCode = 1;
}
if (output.summary.error > 0) process.exitCode = 1;
