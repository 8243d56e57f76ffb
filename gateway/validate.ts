// Validates what a request brings by the schemas that describe the API. Bodies are taken as they are typed;
// in a query everything is text, so there numbers and booleans are read out of it.
import { Ajv, type ErrorObject } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import { type ErrorCode, SkeinError } from '../protocol/errors.ts';

// The schemas are the program's own and tested: judging them anew at every start would cost more than all else.
const common = {
  strict: false,
  validateSchema: false,
  meta: false,
  validateFormats: false,
  allErrors: false,
  removeAdditional: false,
  messages: true,
};

/** Compiles each schema at its first use: a gateway starts without paying for paths that nobody calls. */
export function lazyValidators(): FastifySchemaCompiler<object> {
  const strict = new Ajv({ ...common, coerceTypes: false });
  const lenient = new Ajv({ ...common, coerceTypes: true, useDefaults: true });
  return ({ schema, httpPart }) => {
    let check: ReturnType<Ajv['compile']> | undefined;
    return (data: unknown) => {
      check ??= (httpPart === 'body' ? strict : lenient).compile(schema);
      if (check(data)) return { value: data };
      return { error: invalid(check.errors ?? [], partNames[httpPart ?? ''] ?? 'the query') };
    };
  };
}

const partNames: Readonly<Record<string, string>> = { body: 'the body', params: 'the path', headers: 'the header' };

/** Names the field and what was expected of it. */
export function invalid(errors: readonly ErrorObject[], whole: string): SkeinError {
  const error = telling(errors);
  if (error === undefined) return new SkeinError('invalid-request', `${whole} is not of the documented form`);
  const field = fieldOf(error);
  const of = whole === partNames.headers ? whole : `${whole}'s field`;
  const place = field === '' ? whole : `${of} ${field}`;
  const code: ErrorCode = field === 'runtime' && error.keyword === 'const' ? 'runtime-unknown' : 'invalid-request';
  return new SkeinError(code, `${place} ${expectation(error)}`, {
    extra: { field: field === '' ? null : field, expected: expectation(error) },
  });
}

/** Of the errors of a choice of schemas, the one that got deepest, in a branch of the right type if there is one. */
function telling(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const branchOf = ({ schemaPath }: ErrorObject): string => schemaPath.slice(0, schemaPath.lastIndexOf('/'));
  const wrong = new Set(errors.filter(({ keyword }) => keyword === 'type').map(branchOf));
  const told = errors.filter(({ keyword }) => keyword !== 'anyOf' && keyword !== 'oneOf');
  const meant = told.filter((error) => !wrong.has(branchOf(error)));
  const depth = (error: ErrorObject): number => error.instancePath.split('/').length;
  return (meant.length > 0 ? meant : told).reduce<ErrorObject | undefined>(
    (best, error) => (best === undefined || depth(error) > depth(best) ? error : best),
    undefined,
  );
}

function fieldOf(error: ErrorObject): string {
  const path = error.instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
  const name = error.params.additionalProperty ?? error.params.missingProperty;
  if (typeof name !== 'string') return path;
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  return path === '' ? shown : `${path}.${shown}`;
}

const articles: Readonly<Record<string, string>> = {
  object: 'an object',
  array: 'an array',
  string: 'a string',
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
};

const patterns: Readonly<Record<string, string>> = {
  '^[0-9a-f]{64}$': 'must be a sha-256 in 64 lower-case hex digits',
  '^\\d{1,15}$': 'must be a number of bytes',
  '^[\\x21-\\x7e]{1,128}$': 'must be 1 to 128 printable ASCII characters without spaces',
  '^[^\\p{Cc}]*$': 'must not hold control characters',
};

function expectation(error: ErrorObject): string {
  const { params } = error;
  switch (error.keyword) {
    case 'additionalProperties':
      return 'is not known';
    case 'required':
      return 'is missing';
    case 'type':
      return `must be ${[params.type]
        .flat()
        .map((type) => articles[type] ?? type)
        .join(' or ')}`;
    case 'enum':
      return `must be one of ${params.allowedValues.filter((word: unknown) => word !== null).join(', ')}`;
    case 'const':
      return `must be ${JSON.stringify(params.allowedValue)}`;
    case 'pattern':
      return patterns[params.pattern] ?? `must match ${params.pattern}`;
    default:
      return error.message ?? 'is not of the documented form';
  }
}
