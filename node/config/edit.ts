// Changes config.yaml in place: comments and order stay as the user wrote them.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Document } from 'yaml';
import { SkeinError } from '../../protocol/errors.ts';
import { loadConfig, type StoredMesh } from './config.ts';
import { parseGateway } from './connection.ts';
import { configFile, type Surroundings } from './folders.ts';
import { camel, kebab } from './node-options.ts';
import { SETTINGS } from './settings.ts';

const CONNECTION = ['gateway', 'mesh', 'keyFile'];

/** Answers the file's path. Fails with `usage` where key or value is not of the documented form. */
export async function editConfig(key: string, value: string, from: Surroundings): Promise<string> {
  const setting = SETTINGS.find((each) => each.key === camel(key));
  if (setting === undefined && !CONNECTION.includes(camel(key))) {
    const known = [...SETTINGS.map((each) => each.key), ...CONNECTION].map(kebab).join(', ');
    throw new SkeinError('usage', `no setting ${key}`, { fix: `one of ${known}` });
  }
  if (setting !== undefined && setting.parse(value) === undefined) {
    throw new SkeinError('usage', `${key} ${value}: expected ${setting.expected}`);
  }
  if (key === 'gateway') parseGateway(value);
  return change(from, (document) => document.set(kebab(camel(key)), value));
}

/** Keeps a mesh under its name; the first one kept is also the one that is spoken to. */
export async function storeMesh(mesh: StoredMesh, from: Surroundings): Promise<string> {
  return change(from, (document) => {
    const { name, gateways, keyFile, meshId } = mesh;
    document.setIn(
      ['meshes', name],
      document.createNode({ gateways, keyFile, ...(meshId === undefined ? {} : { meshId }) }),
    );
  });
}

async function change(from: Surroundings, edit: (document: Document) => void): Promise<string> {
  // What does not parse now is told with its line instead of being written over.
  await loadConfig({}, { ...from, env: { XDG_CONFIG_HOME: from.env.XDG_CONFIG_HOME } });
  const file = configFile(from);
  const { parseDocument } = await import('yaml');
  const document = parseDocument(await readFile(file, 'utf8').catch(() => ''));
  edit(document as Document);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const half = `${file}.${process.pid}`;
  await writeFile(half, document.toString(), { mode: 0o600 });
  await rename(half, file);
  return file;
}
