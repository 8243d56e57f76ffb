// The certificate of the HTTP door beyond loopback: the one that was given, or one of the gateway's own, made once and
// kept in the data folder. Its sha-256 is what clients pin, so it must not change by itself.
import { X509Certificate } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SkeinError } from '../protocol/errors.ts';
import { isLoopback } from './loopback.ts';

export interface DoorCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** sha-256 of the certificate in 64 hex digits; undefined where one was given that authorities may vouch for. */
  readonly pin: string | undefined;
}

export interface DoorSecurity {
  readonly host: string;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Plain HTTP beyond loopback, asked for in so many words. */
  readonly insecure: boolean;
}

const FILE = 'http-certificate.pem';
/** As RFC 5280 writes a certificate without an end. No clock of a machine that joins may be behind its beginning. */
const notBeforeDate = new Date('2000-01-01T00:00:00Z');
const notAfterDate = new Date('9999-12-31T23:59:59Z');

/** Undefined where the door speaks plain HTTP. Fails with `file-missing`, `file-unreadable`, `config-invalid`. */
export async function doorCertificate(dataFolder: string, door: DoorSecurity): Promise<DoorCertificate | undefined> {
  if (door.tls !== undefined) {
    const [cert, key] = await Promise.all([readPem(door.tls.certFile), readPem(door.tls.keyFile)]);
    parse(cert, door.tls.certFile);
    return { cert, key, pin: undefined };
  }
  return isLoopback(door.host) || door.insecure ? undefined : ownCertificate(dataFolder);
}

/** The gateway's own certificate: the kept one, or a new one where none is kept. */
export async function ownCertificate(dataFolder: string): Promise<DoorCertificate> {
  const file = join(dataFolder, FILE);
  const kept = await readKept(file);
  const pem = kept ?? (await make());
  const certificate = parse(pem, file);
  if (kept === undefined) await keep(file, pem);
  return { cert: pem, key: pem, pin: certificate.fingerprint256.replaceAll(':', '').toLowerCase() };
}

async function readKept(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(file, error);
  }
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): SkeinError {
  const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
  const sentence = missing ? `there is no file ${file}` : `${file} cannot be read: ${(cause as Error).message}`;
  return new SkeinError(missing ? 'file-missing' : 'file-unreadable', sentence, { cause });
}

function parse(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new SkeinError('config-invalid', `${file} holds no certificate in PEM`, {
      fix: "give a PEM file; where it is the gateway's own, remove it: a new one is made, and clients log in again",
      cause,
    });
  }
}

/** Key and certificate in one text, so that they are kept together or not at all. */
async function make(): Promise<string> {
  const { generate } = await import('selfsigned');
  const made = await generate([{ name: 'commonName', value: 'skein gateway' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate,
    notAfterDate,
  });
  return `${made.private.trim()}\n${made.cert.trim()}\n`;
}

async function keep(file: string, pem: string): Promise<void> {
  const fresh = `${file}.new`;
  const handle = await open(fresh, 'w', 0o600);
  try {
    await handle.writeFile(pem);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
}
