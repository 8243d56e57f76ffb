// A small file beside the database that says what the database must hold: LevelDB loses records in silence, often from
// the middle. It alone keeps term and vote. Two slots, each with a checksum, so that one torn write leaves the other.
import { writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { NOBODY, type VoterId } from '../../protocol/raft/message.ts';

export interface Testimony {
  readonly voterId: VoterId;
  readonly term: number;
  readonly vote: VoterId;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** A write failed above `lastIndex` and was answered as failed: what is found there is void, never a longer log. */
  readonly sealed: boolean;
}

/** Of a folder that holds no replica. */
export const blankTestimony: Testimony = {
  voterId: NOBODY,
  term: 0,
  vote: NOBODY,
  lastIndex: 0,
  lastTerm: 0,
  sealed: false,
};

/** Far enough apart that no disk writes both at once. */
const SLOT_DISTANCE = 4096;
const SLOT_BYTES = 64;
const MAGIC = 0x736b7731;

export class Witness {
  readonly #file: FileHandle;
  #current: Testimony;
  #sequence: number;
  #synced = true;

  private constructor(file: FileHandle, found: { readonly sequence: number; readonly testimony: Testimony }) {
    this.#file = file;
    this.#current = found.testimony;
    this.#sequence = found.sequence;
  }

  /** @returns undefined when neither slot can be read: damage, unless the folder is new. */
  static async open(path: string): Promise<Witness | undefined> {
    const file = await open(path, 'r+');
    const slots = await Promise.all([readSlot(file, 0), readSlot(file, 1)]);
    const newest = slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence)[0];
    if (newest !== undefined) return new Witness(file, newest);
    await file.close();
    return undefined;
  }

  /** Both slots are written now, so that later writes need no room on the disk. */
  static async create(path: string, testimony: Testimony): Promise<Witness> {
    const file = await open(path, 'w+', 0o600);
    const witness = new Witness(file, { sequence: 0, testimony });
    await witness.keep(testimony);
    return witness;
  }

  get current(): Testimony {
    return this.#current;
  }

  /**
   * Resolves when fsynced in both slots, one after the other: whichever of them a later torn write spoils, the other
   * still holds this term and vote.
   */
  async keep(changed: Partial<Testimony>): Promise<void> {
    for (let slot = 0; slot < 2; slot++) {
      // On what is current by then: it may have been raised while the first slot was synced.
      this.#write({ ...this.#current, ...changed });
      await this.#file.datasync();
    }
    this.#synced = true;
  }

  /** After the log's own fsync, before the answer; not fsynced itself: a power cut may cost a moment of detection. */
  raise(lastIndex: number, lastTerm: number): void {
    this.#write({ ...this.#current, lastIndex, lastTerm });
    this.#synced = false;
  }

  /** Called once a second. */
  async sync(): Promise<void> {
    if (this.#synced) return;
    this.#synced = true;
    await this.#file.datasync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #write(testimony: Testimony): void {
    const sequence = this.#sequence + 1;
    const slot = encodeSlot(sequence, testimony);
    writeSync(this.#file.fd, slot, 0, slot.length, (sequence % 2) * SLOT_DISTANCE);
    this.#sequence = sequence;
    this.#current = testimony;
  }
}

function encodeSlot(sequence: number, testimony: Testimony): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeUInt32BE(MAGIC, 0);
  slot.writeUInt8(testimony.sealed ? 1 : 0, 4);
  const numbers = [
    sequence,
    testimony.voterId,
    testimony.term,
    testimony.vote,
    testimony.lastIndex,
    testimony.lastTerm,
  ];
  for (const [n, number] of numbers.entries()) slot.writeBigUInt64BE(BigInt(number), 8 + 8 * n);
  slot.writeUInt32BE(crc32(slot.subarray(0, SLOT_BYTES - 4)), SLOT_BYTES - 4);
  return slot;
}

async function readSlot(file: FileHandle, n: number): Promise<{ sequence: number; testimony: Testimony } | undefined> {
  const slot = Buffer.alloc(SLOT_BYTES);
  const { bytesRead } = await file.read(slot, 0, SLOT_BYTES, n * SLOT_DISTANCE);
  if (bytesRead < SLOT_BYTES || slot.readUInt32BE(0) !== MAGIC) return undefined;
  if (slot.readUInt32BE(SLOT_BYTES - 4) !== crc32(slot.subarray(0, SLOT_BYTES - 4))) return undefined;
  const number = (at: number): number => Number(slot.readBigUInt64BE(8 + 8 * at));
  return {
    sequence: number(0),
    testimony: {
      voterId: number(1),
      term: number(2),
      vote: number(3),
      lastIndex: number(4),
      lastTerm: number(5),
      sealed: slot.readUInt8(4) === 1,
    },
  };
}
