// The version of this program: package.json is its one source.
import { readFileSync } from 'node:fs';

export function ownVersion(): string {
  // From the checkout's node/cli/ and from the installed dist/node/cli/ alike.
  for (const up of ['../../package.json', '../../../package.json']) {
    const version = versionIn(new URL(up, import.meta.url));
    if (version !== undefined) return version;
  }
  return 'unknown';
}

function versionIn(url: URL): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(url, 'utf8')) as { name?: string; version?: string };
    return name === 'skein' ? version : undefined;
  } catch {
    // Not there: the next place.
    return undefined;
  }
}
