// A gateway over the fake mesh on a free port, and the few words that its tests say to it again and again.
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { SkeinClient } from '../../gateway/client/client.ts';
import { createGateway, type Gateway } from '../../gateway/server.ts';
import { realClock, seededRandom } from '../../node/clock.ts';
import type { JobSpec } from '../../protocol/api/jobspec.ts';
import type { JobId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { ADMIN_KEY, FakeMesh } from './fake-mesh.ts';

// biome-ignore lint/suspicious/noExplicitAny: bodies of every shape, looked at by tests
type Loose = Record<string, any>;

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly json: Loose;
}

export interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly key?: string | null;
  readonly headers?: Record<string, string>;
  /** Bytes sent as they are. */
  readonly raw?: Buffer;
}

export class Door {
  readonly mesh = new FakeMesh(seededRandom('door'));
  readonly clock: Clock;
  readonly faults: string[] = [];
  readonly #gateway: Gateway;
  readonly #clients: SkeinClient[] = [];
  url = '';

  private constructor(clock: Clock, host: string) {
    this.clock = clock;
    const log = {
      error: (fields: object, message: string) => void this.faults.push(`${message} ${JSON.stringify(fields)}`),
      warn: () => undefined,
    };
    this.#gateway = createGateway({ mesh: this.mesh, log, clock }, { host, port: 0, version: '1.2.3' });
  }

  static async open(options: { clock?: Clock; host?: string } = {}): Promise<Door> {
    const door = new Door(options.clock ?? realClock(), options.host ?? '127.0.0.1');
    door.url = await door.#gateway.listen();
    return door;
  }

  get gateway(): Gateway {
    return this.#gateway;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  client(patienceMs = 5000, key = ADMIN_KEY): SkeinClient {
    const gateways = [{ url: this.url, pin: null }];
    const client = new SkeinClient({ gateways, key, clock: realClock(), patienceMs });
    this.#clients.push(client);
    return client;
  }

  ask(path: string, { method, body, key = ADMIN_KEY, headers = {}, raw }: Ask = {}): Promise<Answer> {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const sent: Record<string, string | number> = {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...headers,
    };
    return new Promise((resolve, reject) => {
      const verb = method ?? (text === undefined ? 'GET' : 'POST');
      const request = http.request(this.url + path, { method: verb, headers: sent, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(answerOf(response, Buffer.concat(chunks))));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(raw ?? text);
    });
  }

  async submit(fields: Partial<JobSpec> = {}, ask: Ask = {}): Promise<JobId> {
    const answer = await this.ask('/v1/jobs', {
      body: { schema: 'skein.jobspec/1', command: ['true'], ...fields },
      ...ask,
    });
    if (answer.status !== 201) throw new Error(`refused: ${answer.bytes.toString()}`);
    return answer.json.jobId as JobId;
  }

  /** A bare connection, to say what no client would. */
  socket(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => resolve(socket));
      socket.once('error', reject);
    });
  }

  /** Server-sent events until `enough` says so or the stream ends. */
  async events(
    path: string,
    enough: (events: readonly Sse[]) => boolean,
    headers: Record<string, string> = {},
  ): Promise<Sse[]> {
    const sse = await this.stream(path, headers);
    try {
      return await sse.until(enough);
    } finally {
      sse.close();
    }
  }

  stream(path: string, headers: Record<string, string> = {}): Promise<SseReader> {
    const sent = { authorization: `Bearer ${ADMIN_KEY}`, accept: 'text/event-stream', ...headers };
    return new Promise((resolve, reject) => {
      const request = http.request(this.url + path, { headers: sent, agent: false }, (response) => {
        if (response.statusCode === 200) resolve(new SseReader(response));
        else reject(new Error(`status ${response.statusCode}`));
      });
      request.on('error', reject);
      request.end();
    });
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#gateway.close();
  }
}

function answerOf(response: http.IncomingMessage, bytes: Buffer): Answer {
  const isJson = /json/.test(response.headers['content-type'] ?? '') && bytes.length > 0;
  const json = isJson ? JSON.parse(bytes.toString()) : {};
  return { status: response.statusCode ?? 0, headers: response.headers, bytes, json };
}

export interface Sse {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Loose;
}

const EVENTS_MS = 10_000;

export class SseReader {
  readonly events: Sse[] = [];
  ended = false;
  comments = 0;
  readonly #response: http.IncomingMessage;
  #rest = '';
  #wake: () => void = () => undefined;

  constructor(response: http.IncomingMessage) {
    this.#response = response;
    response.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
    response.on('close', () => {
      this.ended = true;
      this.#wake();
    });
    // A stream that a test cuts off ends with an error that is nobody's.
    response.on('error', () => undefined);
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (block.startsWith(':')) this.comments++;
      if (data !== undefined)
        this.events.push({ event: field('event') ?? '', id: field('id'), data: JSON.parse(data) });
    }
    this.#wake();
  }

  /** Fails with what it saw where it waits too long. */
  async until(enough: (events: readonly Sse[]) => boolean): Promise<Sse[]> {
    const deadline = performance.now() + EVENTS_MS;
    while (!enough(this.events) && !this.ended) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`waited in vain; saw ${JSON.stringify(this.events)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (!enough(this.events)) throw new Error(`it ended early; saw ${JSON.stringify(this.events)}`);
    return [...this.events];
  }

  /** Until the gateway ends it. */
  async whole(): Promise<Sse[]> {
    await this.until(() => this.ended);
    return [...this.events];
  }

  close(): void {
    this.#response.destroy();
  }
}
