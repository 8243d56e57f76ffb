// What the gateway counts of itself, and the page that Prometheus reads. The library that writes the page is loaded
// when the first one is asked for: a gateway that nobody watches starts without it.
import type { Clock } from '../protocol/time.ts';
import type { MeshStatus } from './port.ts';

interface Tally {
  requests: number;
  seconds: number;
}

export class Metrics {
  readonly #byRoute = new Map<string, Tally>();
  readonly #clock: Clock;
  #open = 0;
  #quietSince: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#quietSince = clock.monotonic();
  }

  /** A request has come. */
  opened(): void {
    this.#open++;
  }

  /** Its answer is over, whole or not. */
  closed(): void {
    if (--this.#open === 0) this.#quietSince = this.#clock.monotonic();
  }

  /** How long no request has been open. */
  idleMs(): number {
    return this.#open > 0 ? 0 : this.#clock.monotonic() - this.#quietSince;
  }

  /**
   * A request has been answered.
   * @param route its pattern, never a path: a path would make a series of each job.
   */
  count(method: string, route: string, status: number, ms: number): void {
    const name = `${method} ${status} ${route}`;
    const tally = this.#byRoute.get(name) ?? { requests: 0, seconds: 0 };
    if (tally.requests === 0) this.#byRoute.set(name, tally);
    tally.requests++;
    tally.seconds += ms / 1000;
  }

  /** The page, and the type it is of. */
  async page(
    status: MeshStatus,
    quiet: ReadonlyMap<string, number>,
  ): Promise<{ readonly text: string; readonly type: string }> {
    const { Counter, Gauge, Registry } = await import('prom-client');
    const registry = new Registry();
    const registers = [registry];
    const labelNames = ['method', 'route', 'status'];
    const requests = new Counter({ name: 'skein_http_requests_total', help: 'Answers sent', labelNames, registers });
    const seconds = new Counter({
      name: 'skein_http_request_seconds_total',
      help: 'Time from a request to the end of its answer',
      labelNames,
      registers,
    });
    for (const [name, tally] of this.#byRoute) {
      const [method = '', code = '', route = ''] = name.split(' ');
      requests.inc({ method, route, status: code }, tally.requests);
      seconds.inc({ method, route, status: code }, tally.seconds);
    }
    const gauge = (name: string, help: string, value: number): void => {
      new Gauge({ name: `skein_${name}`, help, registers }).set(value);
    };
    gauge('http_requests_open', 'Requests being answered, streams included', this.#open);
    gauge('log_term', 'Term of the replicated log', status.term);
    gauge('log_commit_index', 'Highest index known to be committed', status.commitIndex);
    gauge('log_applied_index', 'Highest index applied here', status.appliedIndex);
    gauge('leader_known', '1 while a leader is known', status.leader === null ? 0 : 1);
    gauge('voters', 'Voters in force', status.voters.total);
    gauge('voters_healthy', 'Voters that answer', status.voters.healthy);
    gauge('disk_ok', '1 while the disk takes writes', status.disk === 'ok' ? 1 : 0);
    gauge('ready', '1 while submissions are taken', status.ready ? 1 : 0);
    const ages = new Gauge({
      name: 'skein_duty_age_seconds',
      help: 'Time since the last complete pass of a duty',
      labelNames: ['duty'],
      registers,
    });
    for (const [duty, ms] of quiet) ages.set({ duty }, ms / 1000);
    gauge('resident_memory_bytes', 'Memory of this node', process.memoryUsage.rss());
    return { text: await registry.metrics(), type: registry.contentType };
  }
}
