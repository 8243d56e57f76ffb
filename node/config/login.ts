// The one string that `key create` prints and `login` reads: gateways with their pins, the mesh, the key.
import { SkeinError } from '../../protocol/errors.ts';

export interface Login {
  readonly meshId: string;
  readonly meshName: string;
  /** URLs, each with `#sha256=PIN` where it has a certificate of its own. */
  readonly gateways: readonly string[];
  readonly key: string;
}

const PREFIX = 'skeinkey1-';
const TEXT_MAX = 16_384;

export function encodeLogin(login: Login): string {
  return PREFIX + Buffer.from(JSON.stringify(login)).toString('base64url');
}

export const isLogin = (text: string): boolean => text.startsWith(PREFIX);

/** Fails with `usage` where the text is no whole login string. */
export function decodeLogin(text: string): Login {
  const word = text.replace(/\s+/g, '');
  if (!isLogin(word) || word.length > TEXT_MAX) throw cut();
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(word.slice(PREFIX.length), 'base64url').toString('utf8'));
  } catch (cause) {
    throw cut(cause);
  }
  if (typeof value !== 'object' || value === null) throw cut();
  const { meshId, meshName, gateways, key } = value as Readonly<Record<string, unknown>>;
  const texts = Array.isArray(gateways) && gateways.length > 0 && gateways.every((each) => typeof each === 'string');
  if (typeof meshId !== 'string' || typeof meshName !== 'string' || typeof key !== 'string' || !texts) throw cut();
  return { meshId, meshName, gateways: gateways as string[], key };
}

function cut(cause?: unknown): SkeinError {
  return new SkeinError('usage', 'that is no whole login string', {
    cause,
    fix: 'copy the whole line that skein key create printed',
  });
}
