// Jobs that a test submitted and what it was promised for them: whatever was acknowledged must end once, with the bytes that
// its script wrote, and asking again with the same key must give the same job.
import * as assert from 'uvu/assert';
import type { Mesh } from './mesh.ts';
import { until } from './mesh.ts';

interface Submission {
  readonly key: string;
  readonly n: number;
  /** Undefined until a 201 was seen. */
  jobId: string | undefined;
}

/** Copies its input, makes a file of its own and says a line on either stream. */
const SCRIPT =
  'cat in.txt > copy.txt; mkdir -p deep/er; seq 1 $(( 1000 + $1 )) > deep/er/$1.txt; sleep 0.0$(( $1 % 7 )); echo out $1; echo err $1 >&2';
/** Kills between begin and start blame a task for a lost worker; here they are the test's doing. */
const LOST_MAX = 100;

const numbers = (n: number): string => Array.from({ length: 1000 + n }, (_, at) => `${at + 1}\n`).join('');

export class Submissions {
  readonly #mesh: Mesh;
  readonly #all: Submission[] = [];
  readonly #checked = new Set<string>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  get acknowledged(): number {
    return this.#all.filter(({ jobId }) => jobId !== undefined).length;
  }

  /** Asks once. @throws where no answer came: what became of it shows when it is asked again. */
  async submit(): Promise<void> {
    const n = this.#all.length + 1;
    const submission: Submission = { key: `key-${n}`, n, jobId: undefined };
    this.#all.push(submission);
    await this.#ask(submission);
  }

  /** Whatever got no answer is asked again, under its key. @throws as `submit`. */
  async askAgain(): Promise<void> {
    for (const submission of this.#all) if (submission.jobId === undefined) await this.#ask(submission);
  }

  async #ask(submission: Submission): Promise<void> {
    const input = new TextEncoder().encode(`input ${submission.n}\n`.repeat(500));
    const sha256 = await this.#mesh.upload(input);
    const inputs = [{ path: 'in.txt', sha256, sizeBytes: input.length, mode: 0o644 }];
    const spec = { inputs, args: [String(submission.n)], maxLost: LOST_MAX };
    const { jobId, status } = await this.#mesh.shell(SCRIPT, spec, submission.key);
    assert.is(status, 201);
    if (submission.jobId !== undefined)
      assert.is(jobId, submission.jobId, `${submission.key} gives the same job again`);
    submission.jobId = jobId;
  }

  /**
   * Waits until all have ended or `over` says so, and looks at those that no call before this one has looked at.
   * @throws as `submit`.
   */
  async allEnd({ withinMs = 40_000, over = (): boolean => false } = {}): Promise<void> {
    for (const submission of this.#all) {
      if (over()) return;
      if (submission.jobId === undefined || this.#checked.has(submission.key)) continue;
      await this.#ends(submission.jobId, withinMs, over);
      if (over()) return;
      await this.#check(submission);
      this.#checked.add(submission.key);
    }
  }

  /** All of them from the start, the keys too. */
  async checkAll(): Promise<void> {
    await this.askAgain();
    await this.allEnd();
    for (const submission of this.#all) {
      await this.#check(submission);
      await this.#ask(submission);
    }
    const listed = new Set<string>();
    for (let cursor = ''; ; ) {
      const page = await this.#mesh.get<{ items: { jobId: string }[]; next: string | null }>(
        `/v1/jobs?limit=500${cursor}`,
      );
      for (const { jobId } of page.items) listed.add(jobId);
      if (page.next === null) break;
      cursor = `&cursor=${page.next}`;
    }
    assert.is(listed.size, this.#all.length, 'no key made two jobs');
  }

  async #ends(jobId: string, withinMs: number, over: () => boolean): Promise<void> {
    const look = async (): Promise<boolean> =>
      over() || !['queued', 'running'].includes((await this.#mesh.job(jobId)).state);
    await until(`job ${jobId} ends`, look, {
      withinMs,
      seen: async () => [
        await this.#mesh.job(jobId),
        await this.#mesh.members(),
        this.#mesh.nodes.map((node) => node.words()),
      ],
    });
  }

  async #check({ jobId = '', n }: Submission): Promise<void> {
    const task = await this.#mesh.task(jobId);
    const seen = JSON.stringify(task, null, 1);
    assert.is(task.state, 'completed', seen);
    assert.is(task.attempts.filter(({ state }) => state === 'finished').length, 1, `one result: ${seen}`);
    assert.is((await this.#mesh.logOf(jobId)).toString(), `out ${n}\n`);
    assert.is((await this.#mesh.logOf(jobId, 1, 'err')).toString(), `err ${n}\n`);
    assert.is((await this.#mesh.outputOf(jobId, 'copy.txt')).toString(), `input ${n}\n`.repeat(500));
    assert.is((await this.#mesh.outputOf(jobId, `deep/er/${n}.txt`)).toString(), numbers(n));
  }
}
