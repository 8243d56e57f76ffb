// The one door: types, lint, imports, unused and the unit tests. Changes nothing, needs no root and no system packages.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const HELP = 'usage: npm run check    types, lint, imports, unused, unit tests; changes nothing\n';
const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => `${root}node_modules/.bin/${name}`;
/** Tools that are JavaScript run on the Node that runs this, whatever `node` is on the PATH. */
const node = (...argv: string[]): string[] => [process.execPath, '--disable-warning=ExperimentalWarning', ...argv];

const steps: readonly { readonly name: string; readonly argv: readonly string[] }[] = [
  { name: 'types', argv: [bin('tsc'), '-p', '.'] },
  // Without Node and the DOM: what the pure rooms name is of the language, or in pure-globals.d.ts.
  { name: 'pure', argv: [bin('tsc'), '-p', 'scripts/tsconfig.pure.json'] },
  { name: 'lint', argv: [bin('biome'), 'check', '.'] },
  { name: 'imports', argv: node('scripts/imports.ts') },
  { name: 'unused', argv: node(bin('knip'), '--config', 'scripts/knip.json') },
  { name: 'unit', argv: node('test/support/run.ts', 'test/unit') },
];

function run(argv: readonly string[]): Promise<{ readonly ok: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    const [command, ...args] = argv;
    const child = spawn(command ?? '', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code) => resolve({ ok: code === 0, output }));
  });
}

if (process.argv.includes('--help')) {
  process.stdout.write(HELP);
} else {
  for (const step of steps) {
    const startedAt = performance.now();
    const { ok, output } = await run(step.argv);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const summary = step.name === 'unit' ? ` ${output.trimEnd().split('\n').at(-1)}` : '';
    const skips = output.split('\n').filter((line) => line.startsWith('SKIP '));
    process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${step.name} ${seconds} s${summary}\n`);
    for (const line of skips) process.stdout.write(`${line}\n`);
    if (!ok) {
      process.stdout.write(`${output}\n`);
      process.exitCode = 1;
    }
  }
}
