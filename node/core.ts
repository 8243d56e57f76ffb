// What the parts of one node share, made by main.ts.
import type { Random } from '../protocol/random.ts';
import type { Clock } from '../protocol/time.ts';
import type { MemberList } from '../protocol/wire/members.ts';
import type { Fetcher } from './blob/fetch.ts';
import type { FileBlobStore } from './blob/files.ts';
import type { NodeOptions } from './config/node-options.ts';
import type { Kept } from './data-folder.ts';
import type { Gossip } from './gossip/gossip.ts';
import type { Machine } from './gossip/machine.ts';
import type { Identity } from './identity/identity.ts';
import type { MemberBook } from './membership/member-book.ts';
import type { openLog } from './output-log.ts';
import type { LevelStorage } from './storage/level.ts';
import type { Libp2pTransport } from './transport/libp2p.ts';

export interface Core {
  readonly options: NodeOptions;
  readonly kept: Kept;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly out: ReturnType<typeof openLog>;
  readonly identity: Identity;
  readonly storage: LevelStorage;
  readonly book: MemberBook;
  readonly blobs: FileBlobStore;
  /** One for the node: whoever wants a blob shares its transfer. */
  readonly fetcher: Fetcher;
  readonly transport: Libp2pTransport;
  readonly gossip: Gossip;
  readonly machine: Machine;
  /** The member list in force; there is one once the node is a member. */
  readonly members: { current(): MemberList; accept(list: MemberList): Promise<boolean> };
}
