// The member list as this node holds it: who may speak, who may hear, where the gateways are. A gateway fills it from its
// applied rows, a worker from what gateways send; it is kept on disk and never goes back within an epoch.
import type { PeerId } from '../../protocol/ids.ts';
import type { MemberRow } from '../../protocol/state/rows.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import type { Admission } from '../transport/port.ts';

export interface BookMemory {
  load(): MemberList | undefined;
  save(list: MemberList): Promise<void>;
}

export class MemberBook implements Admission {
  readonly #memory: BookMemory;
  #list: MemberList | undefined;
  #members = new Map<PeerId, MemberRow>();
  #observers = new Set<PeerId>();
  /** Before the join: the peers that the ticket says to trust. */
  #trusted: ReadonlySet<PeerId> = new Set();
  #joinable: () => boolean = () => false;

  constructor(memory: BookMemory) {
    this.#memory = memory;
    const list = memory.load();
    if (list !== undefined) this.#take(list);
  }

  /** Undefined before this node is a member. */
  get list(): MemberList | undefined {
    return this.#list;
  }

  trust(peers: readonly PeerId[]): void {
    this.#trusted = new Set(peers);
  }

  joinableWhile(open: () => boolean): void {
    this.#joinable = open;
  }

  /** Takes a newer list and keeps it. @returns whether it was newer. */
  async accept(list: MemberList): Promise<boolean> {
    const known = this.#list;
    if (known !== undefined) {
      const older = list.epochId === known.epochId ? list.index <= known.index : list.epochNumber <= known.epochNumber;
      if (older || list.meshId !== known.meshId) return false;
    }
    this.#take(list);
    await this.#memory.save(list);
    return true;
  }

  /** What a gateway's own rows say; they are kept there, so nothing is saved. */
  show(list: MemberList): void {
    this.#take(list);
  }

  #take(list: MemberList): void {
    const members = (list.members as readonly MemberRow[]).filter((member) => member.state !== 'left');
    this.#list = list;
    this.#members = new Map(members.map((member) => [member.peerId, member]));
    this.#observers = new Set(members.flatMap((member) => (member.observer === null ? [] : [member.observer])));
  }

  isMember(peer: PeerId): boolean {
    return this.#members.has(peer) || this.#trusted.has(peer);
  }

  isGateway(peer: PeerId): boolean {
    return this.#members.get(peer)?.roles.includes('gateway') ?? this.#trusted.has(peer);
  }

  isObserver(peer: PeerId): boolean {
    return this.#observers.has(peer);
  }

  joinable(): boolean {
    return this.#joinable();
  }
}
