// Grants and answers as a worker hears them, built for tests.
import type { Needs } from '../../protocol/api/jobspec.ts';
import { makeFence } from '../../protocol/ids.ts';
import type { Answer } from '../../protocol/wire/heartbeat.ts';
import type { PushedGrant } from '../../protocol/wire/work.ts';
import { EPOCH, job, specOf } from './state.ts';

export function pushed(
  index: number,
  {
    incarnation = 1,
    needs,
    task = index,
    epochId = EPOCH,
  }: { incarnation?: number; needs?: Needs; task?: number; epochId?: typeof EPOCH } = {},
): PushedGrant {
  return {
    fence: makeFence(epochId, index),
    jobId: job(1),
    task,
    incarnation,
    attempt: 1,
    taskCount: 1_000,
    entry: null,
    spec: specOf(needs === undefined ? {} : { needs }),
  };
}

export function answered(sequence: number, answer: Partial<Answer> = {}): Answer {
  return {
    incarnation: 1,
    sequence,
    appliedIndex: 0,
    leaseMs: 15_000,
    fences: [],
    grants: [],
    window: [],
    members: null,
    dead: null,
    ...answer,
  };
}
