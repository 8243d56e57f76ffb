// Audits one installed package: its licence, its size, its largest file. Usage: node audit.mjs PACKAGE_FOLDER
// Plain Node, no skein in it: run by hand it does the same.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write('usage: node audit.mjs PACKAGE_FOLDER\n');
  process.exit(2);
}

function* filesIn(place) {
  for (const entry of readdirSync(place, { withFileTypes: true })) {
    const path = join(place, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.isFile()) yield { path, sizeBytes: statSync(path).size };
  }
}

const files = [...filesIn(folder)].sort((a, b) => b.sizeBytes - a.sizeBytes);
const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const text = files.find(({ path }) => /^(licen[cs]e|copying)/i.test(relative(folder, path)));
const hash = createHash('sha256');
for (const { path } of files) hash.update(readFileSync(path));

const report = {
  name,
  version,
  licence: typeof license === 'string' ? license : (license?.type ?? 'none stated'),
  licenceText: text === undefined ? null : relative(folder, text.path),
  files: files.length,
  sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  largest: files[0] === undefined ? null : relative(folder, files[0].path),
  sha256: hash.digest('hex'),
};
writeFileSync('report.json', `${JSON.stringify(report, null, 2)}\n`);
process.stdout.write(
  `${report.name} ${report.version}  ${report.licence}  ${report.files} files, ${report.sizeBytes} bytes\n`,
);
