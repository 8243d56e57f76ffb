// A failure as people and programs get it: one line on stderr with what to do next, or the problem document.
import { SkeinError } from '../../protocol/errors.ts';
import type { Screen } from './output/screen.ts';

/** @param verbose shows where a bug was met; a SkeinError needs no such thing. */
export async function tellFailure(
  error: unknown,
  screen: Screen,
  options: { json: boolean; verbose: boolean },
): Promise<void> {
  const known = error instanceof SkeinError ? error : bug(error);
  if (options.json) {
    const { problemOf } = await import('../../protocol/api/problem.ts');
    await screen.line(JSON.stringify(problemOf(known, null)));
  } else {
    await screen.fail(oneLine(known));
  }
  if (options.verbose && !(error instanceof SkeinError) && error instanceof Error) await screen.line(error.stack ?? '');
}

function oneLine(error: SkeinError): string {
  const text = error.fix === undefined ? error.message : `${error.message}; ${lowerFirst(error.fix)}`;
  return text.replace(/\s*\n\s*/g, ' ').replace(/\.;/g, ';');
}

const lowerFirst = (text: string): string =>
  /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;

function bug(error: unknown): SkeinError {
  const message = error instanceof Error ? error.message : String(error);
  return new SkeinError('internal-error', `skein met a bug: ${message}`, {
    cause: error,
    fix: 'report it, with -v for where',
  });
}
