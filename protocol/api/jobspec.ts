// The body of POST /v1/jobs, which is also `spec` in every answer and the content of a job's skein.yaml.
import { type Static, Type } from 'typebox';

const Text = (maxLength: number) => Type.String({ maxLength });
const Hash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'sha-256, 64 lower-case hex digits' });
/** Relative, forward slashes, no `..`: judged again by the parser, a pattern cannot say it all. */
const RelativePath = Type.String({ minLength: 1, maxLength: 4096, pattern: '^(?!/)' });

export const InputFile = Type.Object(
  {
    path: RelativePath,
    sha256: Type.Optional(Hash),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o777, description: 'permission bits' })),
    link: Type.Optional(Text(4096)),
    folder: Type.Optional(Type.Boolean({ description: 'an empty folder that must be there' })),
  },
  { additionalProperties: false, description: 'One of sha256 (a file), link (a symbolic link) and folder' },
);
export type InputFile = Static<typeof InputFile>;

export const Items = Type.Union([
  Type.Object(
    { list: Type.Array(Type.Unknown(), { minItems: 1, maxItems: 100_000 }) },
    { additionalProperties: false },
  ),
  Type.Object(
    { range: Type.Object({ from: Type.Integer(), to: Type.Integer() }, { additionalProperties: false }) },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      manifest: Type.Object(
        { sha256: Hash, count: Type.Integer({ minimum: 1, maximum: 1_000_000 }) },
        { additionalProperties: false },
      ),
    },
    { additionalProperties: false, description: 'A blob that holds the JSON of an ItemEntry[]' },
  ),
]);

/** One task's own part in a list of items: its value and the inputs that only it needs. */
export const ItemEntry = Type.Object(
  {
    item: Type.Unknown(),
    name: Type.Optional(Text(4096)),
    inputs: Type.Optional(Type.Array(InputFile, { maxItems: 1000 })),
    /** The JSON of an InputFile[] as a blob, where there are many: an entry travels with each of its grants. */
    inputsManifest: Type.Optional(
      Type.Object({ sha256: Hash, count: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false },
);
export type ItemEntry = Static<typeof ItemEntry>;

export const Needs = Type.Object(
  {
    cpu: Type.Optional(Type.Union([Type.Number({ exclusiveMinimum: 0, maximum: 4096 }), Type.Literal('all')])),
    memBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    diskBytes: Type.Optional(Type.Integer({ minimum: 0 })),
    gpu: Type.Optional(Type.Integer({ minimum: 0, maximum: 64 })),
  },
  { additionalProperties: false },
);
export type Needs = Static<typeof Needs>;

const Millis = Type.Integer({ minimum: 1, maximum: 31_536_000_000, description: 'milliseconds' });
const EnvName = '^[A-Za-z_][A-Za-z0-9_]*$';

export const JobSpec = Type.Object(
  {
    schema: Type.Optional(Type.Literal('skein.jobspec/1')),
    name: Type.Optional(Text(200)),
    labels: Type.Optional(Type.Record(Text(63), Text(255), { maxProperties: 64 })),
    script: Type.Optional(
      Type.Object(
        {
          path: RelativePath,
          sha256: Hash,
          mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o777 })),
          /** How the script is named on its own command line (`./x`, or a link to it), where that is not its path. */
          as: Type.Optional(RelativePath),
        },
        { additionalProperties: false },
      ),
    ),
    command: Type.Optional(Type.Array(Text(131_072), { minItems: 1, maxItems: 1000 })),
    args: Type.Optional(Type.Array(Text(131_072), { maxItems: 100_000 })),
    inputs: Type.Optional(Type.Array(InputFile, { maxItems: 100_000 })),
    /** The JSON of an InputFile[] as a blob, where `inputs` would not fit the record. */
    inputsManifest: Type.Optional(
      Type.Object({ sha256: Hash, count: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
    ),
    items: Type.Optional(Items),
    /** The JSON of {args?, env?} as a blob, where they would not fit the record: a worker puts them back. */
    rest: Type.Optional(Type.Object({ sha256: Hash }, { additionalProperties: false })),
    env: Type.Optional(
      Type.Record(Type.String({ pattern: EnvName }), Text(131_072), {
        maxProperties: 1000,
        additionalProperties: false,
      }),
    ),
    oneStream: Type.Optional(
      Type.Boolean({ description: 'stderr goes where stdout goes, in the order of writing, as with `2>&1`' }),
    ),
    stdin: Type.Optional(Type.Object({ sha256: Hash }, { additionalProperties: false })),
    runtime: Type.Optional(Type.Union([Type.Literal('process'), Type.Literal('noop')])),
    /** How the script is started: `python3`, `node`, `bash`, …; none where its shebang or its mode says. */
    interpreter: Type.Optional(Type.Array(Text(4096), { minItems: 1, maxItems: 16 })),
    /** On the mesh `local` alone: the caller's PATH and active virtual environment. */
    path: Type.Optional(Text(32_768)),
    virtualEnv: Type.Optional(Text(4096)),
    umask: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 0o777, description: 'permission bits that new files do not get' }),
    ),
    needs: Type.Optional(Needs),
    timeoutMs: Type.Optional(Millis),
    startWithinMs: Type.Optional(Millis),
    retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    retryOn: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 255 }), { maxItems: 255 })),
    maxLost: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    maxFails: Type.Optional(Type.Integer({ minimum: 0 })),
    maxParallel: Type.Optional(Type.Integer({ minimum: 1 })),
    priority: Type.Optional(Type.Integer({ minimum: -100, maximum: 100 })),
    keepMs: Type.Optional(Millis),
    /** Where the submitter wants the outputs: host and absolute folder; `attach` finds the place again. */
    origin: Type.Optional(
      Type.Object({ host: Text(255), folder: Text(4096), outputDir: Text(4096) }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false, description: 'A job: one of script and command, the rest optional' },
);
export type JobSpec = Static<typeof JobSpec>;

/** What the blob `rest` of a spec holds. */
export const SpecRest = Type.Object(
  { args: JobSpec.properties.args, env: JobSpec.properties.env },
  { additionalProperties: false },
);
export type SpecRest = Static<typeof SpecRest>;

/** How many tasks a spec makes. */
export function taskCount(spec: JobSpec): number {
  if (spec.items === undefined) return 1;
  if ('list' in spec.items) return spec.items.list.length;
  if ('range' in spec.items) return spec.items.range.to - spec.items.range.from + 1;
  return spec.items.manifest.count;
}

/** The item of task `n` (from 1) where the spec alone says it; a manifest's entries come from its blob. */
export function entryOf(spec: JobSpec, n: number): ItemEntry | undefined {
  if (spec.items === undefined || 'manifest' in spec.items) return undefined;
  if ('list' in spec.items) return { item: spec.items.list[n - 1] };
  return { item: spec.items.range.from + n - 1 };
}
