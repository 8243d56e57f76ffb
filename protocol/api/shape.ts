// The small shapes that every body of the HTTP door is made of. Unknown is null and never missing.
import { type Static, type TSchema, type TSchemaOptions, Type } from 'typebox';

/** `null` where it is not known. A list of types, which OpenAPI 3.1 reads and no validator has to try one by one. */
export function orNull<T extends TSchema & { type?: unknown }>(schema: T) {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] });
}

/** One of some words. */
export function oneOf<const Words extends readonly string[]>(words: Words, options: TSchemaOptions = {}) {
  return Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], ...options });
}

/** As oneOf, or null where it is not known. */
export function oneOfOrNull<const Words extends readonly string[]>(words: Words) {
  return Type.Unsafe<Words[number] | null>({ type: ['string', 'null'], enum: [...words, null] });
}

/** An object that takes no field beyond those named. */
export function body<P extends Parameters<typeof Type.Object>[0]>(properties: P, options: TSchemaOptions = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** What is not built yet, or never known here. */
export const Nothing = Type.Unsafe<null>({ type: 'null' });
export const Text = Type.String();
export const Whole = Type.Integer();
export const Time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC' });
export const Hash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'sha-256, 64 lower-case hex digits' });
export const Base64 = Type.String({ description: 'bytes of a script, base64' });
export const JobIdText = Type.String({ description: '`j-` and 16 characters' });
export const FenceText = Type.String({ description: 'EPOCHID.INDEX of the entry that granted the attempt' });

/** A page of a list: `next` is the cursor of the page after it, or null at the end. */
export function list<Name extends string, T extends TSchema>(schema: Name, item: T) {
  return Type.Object({ schema: Type.Literal(schema), items: Type.Array(item), next: orNull(Text) });
}

/** The schema of `Problem` (problem.ts, which is kept free of the schema library for the command line's sake). */
export const ProblemShape = Type.Object(
  {
    type: Type.String({ description: '/problems/NAME, served by every gateway' }),
    title: Text,
    status: Whole,
    detail: Type.String({ description: 'the sentence again, for clients that know RFC 9457 alone' }),
    sentence: Type.String({ description: 'what happened, to what, and why' }),
    fix: Type.String({ description: 'what to do next' }),
    retryAfterMs: orNull(Whole),
    requestId: orNull(Text),
  },
  { additionalProperties: true },
);
