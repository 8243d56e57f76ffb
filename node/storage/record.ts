// The form of every stored value: one byte that names the encoding, a checksum over key and value, the value.
// Decoders stay for ever; the golden file in the tests holds one record of each.
import { crc32 } from 'node:zlib';
import { SkeinError } from '../../protocol/errors.ts';

const JSON_UTF8 = 1;
const HEADER_BYTES = 5;

/** A value whose checksum does not fit: the disk gave back something else than was written. */
export class DamagedRecord extends Error {
  override readonly name = 'DamagedRecord';
}

export function encodeRecord(key: string | Buffer, json: string): Buffer {
  const record = Buffer.allocUnsafe(HEADER_BYTES + Buffer.byteLength(json));
  record[0] = JSON_UTF8;
  record.write(json, HEADER_BYTES);
  record.writeUInt32BE(checksum(key, record), 1);
  return record;
}

/** @returns the JSON text. Fails with DamagedRecord, or with `folder-newer` for an encoding that is not known. */
export function decodeRecord(key: string | Buffer, record: Buffer): string {
  if (record.length < HEADER_BYTES || record.readUInt32BE(1) !== checksum(key, record)) {
    throw new DamagedRecord(`the checksum of ${printable(key)} does not fit`);
  }
  if (record[0] !== JSON_UTF8) {
    throw new SkeinError(
      'folder-newer',
      `${printable(key)} has encoding ${record[0]}, which this version cannot read`,
      {
        fix: 'Start the version of skein that wrote this folder.',
      },
    );
  }
  return record.toString('utf8', HEADER_BYTES);
}

function checksum(key: string | Buffer, record: Buffer): number {
  return crc32(record.subarray(HEADER_BYTES), crc32(record.subarray(0, 1), crc32(key)));
}

/** A key as a person can read it: an entry's index in digits. */
function printable(key: string | Buffer): string {
  if (typeof key === 'string') return key;
  return key.length === 10 ? `entry ${key.readBigUInt64BE(2)}` : key.toString();
}
