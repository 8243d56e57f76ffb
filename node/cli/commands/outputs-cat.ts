// Not in this version.
export { command } from './later.ts';
