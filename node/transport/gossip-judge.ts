// Whether a gossip message may be heard: signed by the member that it names, for this mesh and this topic; a leader's word
// only where a gateway signed it.
// Both transports judge through this.
import type { MeshId } from '../../protocol/ids.ts';
import { type Envelope, openEnvelope, type Verifier } from '../../protocol/wire/envelope.ts';
import type { Admission, Topic } from './port.ts';

export interface GossipJudge {
  readonly meshId: MeshId;
  readonly admission: Admission;
  readonly verifier: Verifier;
}

/** Undefined where it must neither be delivered nor passed on. */
export function admitMessage(judge: GossipJudge, topic: Topic, message: Uint8Array): Envelope | undefined {
  const envelope = openEnvelope(message, judge.verifier);
  if (envelope === undefined || envelope.meshId !== judge.meshId || envelope.topic !== topic) return undefined;
  const { sender } = envelope;
  if (!judge.admission.isMember(sender) || (topic === 'window' && !judge.admission.isGateway(sender))) return undefined;
  return envelope;
}
