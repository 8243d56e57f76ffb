// Preloaded into a node: moves its wall clock, and nothing else, by as many milliseconds as a file says now.
import { readFileSync } from 'node:fs';

const file = process.env.CLOCK_OFFSET_FILE ?? '';
const LOOK_MS = 50;
const RealDate = Date;
let offsetMs = 0;

const look = (): void => {
  offsetMs = Number(readFileSync(file, 'utf8'));
};
look();
setInterval(look, LOOK_MS).unref();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args) =>
    args.length === 0 ? new target(RealDate.now() + offsetMs) : Reflect.construct(target, args),
  apply: () => new RealDate(RealDate.now() + offsetMs).toString(),
  get: (target, name) => (name === 'now' ? () => RealDate.now() + offsetMs : Reflect.get(target, name)),
});
