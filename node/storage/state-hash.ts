// One number that stands for all rows: the sum of a hash of each. Adding is commutative, so it changes with each row
// and never needs a full pass; two replicas at one index have the same.
import { hash } from 'node:crypto';

/** Over key and JSON text, not over the stored bytes: replicas may differ in encoding. */
export function rowHash(key: string, json: string): bigint {
  return hash('sha256', `${key}\0${json}`, 'buffer').readBigUInt64BE(0);
}

export function shiftHash(sum: bigint, change: { readonly removed: bigint; readonly added: bigint }): bigint {
  return BigInt.asUintN(64, sum - change.removed + change.added);
}

export const printHash = (sum: bigint): string => sum.toString(16).padStart(16, '0');
export const parseHash = (text: string): bigint => BigInt(`0x${text}`);
export const EMPTY_HASH = printHash(0n);
