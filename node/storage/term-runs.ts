// The term of every kept entry as runs of equal terms: a few numbers instead of one per entry.

interface Run {
  readonly from: number;
  readonly term: number;
}

export class TermRuns {
  /** Ascending. The first begins at the entry before the first one kept, whose term is known too. */
  #runs: Run[];
  #last: number;

  constructor(before: { readonly index: number; readonly term: number }) {
    this.#runs = [{ from: before.index, term: before.term }];
    this.#last = before.index;
  }

  get lastIndex(): number {
    return this.#last;
  }

  get lastTerm(): number {
    return this.#runs.at(-1)?.term ?? 0;
  }

  at(index: number): number | undefined {
    if (index > this.#last) return undefined;
    return this.#runs.findLast((run) => run.from <= index)?.term;
  }

  /** The entry after the last one. */
  push(term: number): void {
    this.#last++;
    if (this.lastTerm !== term) this.#runs.push({ from: this.#last, term });
  }

  /** Forgets what lies above `index`. */
  cutAbove(index: number): void {
    while (this.#runs.length > 1 && (this.#runs.at(-1)?.from ?? 0) > index) this.#runs.pop();
    this.#last = Math.min(this.#last, index);
  }

  /** Forgets what lies below `index`, whose term stays known. */
  cutBelow(index: number): void {
    const term = this.at(index);
    if (term === undefined) return;
    this.#runs = [{ from: index, term }, ...this.#runs.filter((run) => run.from > index)];
  }
}
