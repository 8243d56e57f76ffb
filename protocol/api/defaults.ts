// What holds where a job does not say. A body that spells it out asks for the same as one that leaves it out.
import type { InputFile, JobSpec } from './jobspec.ts';

export const jobDefaults = {
  schema: 'skein.jobspec/1',
  labels: {},
  args: [],
  inputs: [],
  env: {},
  oneStream: false,
  runtime: 'process',
  retries: 0,
  maxLost: 3,
  priority: 0,
} as const;
const needsDefaults = { cpu: 1, memBytes: 0, diskBytes: 0, gpu: 0 } as const;
export const SCRIPT_MODE = 0o755;
export const INPUT_MODE = 0o644;

/** With every default spelled out: two specs that ask for the same are equal. */
export function withDefaults(spec: JobSpec): JobSpec {
  const { script, inputs = jobDefaults.inputs, needs } = spec;
  return {
    ...jobDefaults,
    ...spec,
    ...(script !== undefined && { script: { mode: SCRIPT_MODE, ...script } }),
    inputs: inputs.map(inputWithDefaults),
    needs: { ...needsDefaults, ...needs },
  } as JobSpec;
}

const inputWithDefaults = (input: InputFile): InputFile =>
  input.sha256 === undefined ? input : { mode: INPUT_MODE, ...input };
