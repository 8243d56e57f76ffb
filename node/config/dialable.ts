// A gateway's address as another machine would dial it.
import { networkInterfaces } from 'node:os';

const ALL = /^(0\.0\.0\.0|\[::\])$/;

/** `0.0.0.0` says where a gateway listens, which is everywhere; this names one of those places. */
export function dialable(url: string, interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces()): string {
  const { hostname } = new URL(url);
  if (!ALL.test(hostname)) return url;
  const outward = Object.values(interfaces)
    .flatMap((each) => each ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  return url.replace(hostname, outward?.address ?? '127.0.0.1');
}
