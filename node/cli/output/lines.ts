// Bytes to lines, for those places where a script's lines are shown among others.

const LINE_MAX_BYTES = 65_536;

export class LineSplitter {
  #rest: Uint8Array = new Uint8Array(0);

  /** The lines that are whole now; one longer than 64 KiB comes in parts. */
  push(bytes: Uint8Array): readonly string[] {
    const all = Buffer.concat([this.#rest, bytes]);
    const lines: string[] = [];
    let from = 0;
    for (let at = all.indexOf(10); at >= 0; at = all.indexOf(10, from)) {
      lines.push(all.toString('utf8', from, at));
      from = at + 1;
    }
    for (; all.length - from > LINE_MAX_BYTES; from += LINE_MAX_BYTES)
      lines.push(all.toString('utf8', from, from + LINE_MAX_BYTES));
    this.#rest = all.subarray(from);
    return lines;
  }

  /** What was left without a line's end. */
  end(): readonly string[] {
    const rest = Buffer.from(this.#rest).toString('utf8');
    this.#rest = new Uint8Array(0);
    return rest === '' ? [] : [rest];
  }
}
