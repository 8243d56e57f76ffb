// Carries requests to the gateways of one mesh, over connections that are kept. A gateway that cannot be reached is
// followed by the next; the key goes to none whose certificate is not the pinned one. Built on node:http alone, because
// the command line loads this before its first word.
import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { errorOf } from '../../protocol/api/problem.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import { pinnedAgent } from './pin.ts';

export interface GatewayAddress {
  /** `http://HOST:PORT` or `https://HOST:PORT`. */
  readonly url: string;
  /** sha-256 of the certificate in 64 hex digits, or null where the system's authorities judge. */
  readonly pin: string | null;
}

export interface TransportOptions {
  readonly gateways: readonly GatewayAddress[];
  readonly key: string;
  readonly clock: Clock;
}

export interface Call {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | { readonly source: AsyncIterable<Uint8Array>; readonly sizeBytes: number };
  /** How long the head of the answer may take once the request is sent. */
  readonly answerMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Statuses of 400 and above that are an answer here, not a failure. */
  readonly accepts?: readonly number[];
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: IncomingMessage;
}

/** No gateway was reached, or the connection broke before the answer was whole: it may be tried again where that is safe. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
  /** Whether anything of the request may have arrived. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean, cause: unknown) {
    super(message, { cause });
    this.sent = sent;
  }
}

const CONNECT_MS = 10_000;
const ANSWER_MS = 90_000;
/** One that never answered may be anything that takes connections. */
const FIRST_ANSWER_MS = 30_000;
/** No byte either way while a body is sent, or while the gateway puts it on its disk. */
const STALLED_MS = 120_000;

export class Transport {
  readonly #options: TransportOptions;
  readonly #agents = new Map<string, http.Agent>();
  /** The gateway that answered last is asked first. */
  #first = 0;
  /** As the gateway that answered last says of itself, or null. */
  gatewayVersion: string | null = null;

  constructor(options: TransportOptions) {
    if (options.gateways.length === 0) throw new SkeinError('unreachable', 'no gateway of the mesh is known');
    this.#options = options;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** The gateway asked first, for people. */
  get url(): string {
    return this.#options.gateways[this.#first]?.url ?? '';
  }

  /** An answer of 2xx or 3xx. Fails with the error that the gateway sent, `certificate-changed`, or ConnectionLost. */
  async send(call: Call): Promise<Answer> {
    const { gateways } = this.#options;
    let lost: unknown;
    for (let turn = 0; turn < gateways.length; turn++) {
      const at = (this.#first + turn) % gateways.length;
      try {
        const answer = await this.#ask(gateways[at] as GatewayAddress, call);
        this.#first = at;
        this.gatewayVersion = headerOf(answer, 'skein-version') ?? null;
        const { url } = gateways[at] as GatewayAddress;
        if (this.gatewayVersion === null) throw stranger(answer, url);
        if (answer.status >= 400 && !call.accepts?.includes(answer.status)) throw await failureOf(answer);
        return answer;
      } catch (error) {
        // What may have arrived must not go to a second gateway by itself: the caller knows whether that is safe.
        if (!(error instanceof ConnectionLost) || error.sent) throw error;
        lost = error;
      }
    }
    throw lost;
  }

  async #ask(gateway: GatewayAddress, call: Call): Promise<Answer> {
    const agent = await this.#agent(gateway);
    call.signal?.throwIfAborted();
    const url = new URL(gateway.url);
    const options: RequestOptions = {
      agent,
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      method: call.method,
      path: call.path,
      headers: { authorization: `Bearer ${this.#options.key}`, ...bodyHeaders(call.body), ...call.headers },
    };
    const answerMs = call.answerMs ?? (this.gatewayVersion === null ? FIRST_ANSWER_MS : ANSWER_MS);
    return new Exchange(this.#options.clock, http.request(options), gateway.url, { ...call, answerMs }).answer;
  }

  async #agent(gateway: GatewayAddress): Promise<http.Agent> {
    const known = this.#agents.get(gateway.url);
    if (known !== undefined) return known;
    const agent = gateway.url.startsWith('https:')
      ? await pinnedAgent(gateway.pin)
      : new http.Agent({ keepAlive: true, maxSockets: 64 });
    this.#agents.set(gateway.url, agent);
    return agent;
  }
}

/** One request on its way. */
class Exchange {
  readonly answer: Promise<Answer>;
  readonly #clock: Clock;
  readonly #request: ClientRequest;
  readonly #done = new AbortController();
  #sent = false;
  #answered = false;

  constructor(clock: Clock, request: ClientRequest, url: string, call: Call & { readonly answerMs: number }) {
    this.#clock = clock;
    this.#request = request;
    this.answer = new Promise((resolve, reject) => {
      request.once('response', (body) => {
        this.#answered = true;
        this.#done.abort();
        resolve({ status: body.statusCode ?? 0, headers: body.headers, body });
      });
      request.once('error', (error) => {
        this.#done.abort();
        if (call.signal?.aborted) reject(call.signal.reason);
        else if (error instanceof SkeinError) reject(error);
        else reject(new ConnectionLost(`${url} does not answer: ${reasonOf(error)}`, this.#sent, error));
      });
    });
    this.#limit(CONNECT_MS, `no connection within ${CONNECT_MS / 1000} s`, () => !this.#sent);
    request.once('socket', (socket) => {
      const begin = () => {
        this.#sent = true;
        const { answerMs } = call;
        const reason = `it takes the connection and says nothing for ${answerMs / 1000} s`;
        this.#limit(answerMs, reason, () => typeof call.body !== 'object');
      };
      if (socket.connecting) socket.once('connect', begin);
      else begin();
    });
    const abort = () => request.destroy();
    call.signal?.addEventListener('abort', abort, { once: true });
    request.once('close', () => call.signal?.removeEventListener('abort', abort));
    this.#write(call.body);
  }

  #limit(ms: number, reason: string, applies: () => boolean): void {
    this.#clock.sleep(ms, this.#done.signal).then(
      () => applies() && !this.#answered && this.#request.destroy(new Error(reason)),
      // The answer came first.
      () => undefined,
    );
  }

  #write(body: Call['body']): void {
    if (typeof body !== 'object') {
      this.#request.end(body);
      return;
    }
    this.#request.setTimeout(STALLED_MS, () => this.#request.destroy(new Error('the line fell silent')));
    this.#pour(body.source).catch((error: unknown) => this.#request.destroy(error as Error));
  }

  /** One chunk after the other: the source may use its buffer again once asked for the next. */
  async #pour(source: AsyncIterable<Uint8Array>): Promise<void> {
    const request = this.#request;
    const closed = new Promise<void>((resolve) => request.once('close', resolve));
    for await (const chunk of source) {
      await Promise.race([new Promise<void>((resolve) => request.write(chunk, () => resolve())), closed]);
      // An answer before the body is whole ends the sending: the gateway has seen enough.
      if (this.#answered || request.destroyed) return;
    }
    request.end();
  }
}

function bodyHeaders(body: Call['body']): Record<string, string> {
  if (body === undefined) return {};
  if (typeof body !== 'string') {
    return { 'content-type': 'application/octet-stream', 'content-length': String(body.sizeBytes) };
  }
  return { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
}

/** OpenSSL's own words help nobody. */
function reasonOf(error: NodeJS.ErrnoException): string {
  return error.code === 'EPROTO' ? 'it does not speak TLS (https) there' : error.message;
}

export function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : undefined;
}

const JSON_BYTES_MAX = 256 * 1024 * 1024;

/** The whole body as text. */
export async function textOf(answer: Answer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk as Uint8Array);
      length += (chunk as Uint8Array).length;
      if (length > JSON_BYTES_MAX) throw new SkeinError('too-large', 'the answer is too large');
    }
  } catch (error) {
    if (error instanceof SkeinError) throw error;
    throw new ConnectionLost('the connection broke in the middle of the answer', true, error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Every answer of a gateway says its version. What does not is a proxy, a login page, another program on that port. */
function stranger(answer: Answer, url: string): SkeinError {
  answer.body.destroy();
  if ([502, 503, 504].includes(answer.status)) {
    return new SkeinError(
      'unreachable',
      `a proxy answers at ${url} (status ${answer.status}), the gateway behind it does not`,
      {
        fix: 'is the gateway running? skein peers asks the mesh without it',
      },
    );
  }
  return new SkeinError('unreachable', `what answers at ${url} (status ${answer.status}) is no gateway of skein`, {
    fix: 'check the address and the port',
  });
}

/** The error that an answer of 4xx or 5xx carries. */
async function failureOf(answer: Answer): Promise<SkeinError> {
  const text = await textOf(answer);
  const document = parsed(text);
  const known = errorOf(document);
  if (known !== undefined) return known;
  const sentence = (document as { sentence?: unknown } | undefined)?.sentence;
  const told = typeof sentence === 'string' ? sentence : `the gateway answered with status ${answer.status}`;
  // A kind of problem that this version does not know.
  return new SkeinError(answer.status >= 500 ? 'internal-error' : 'invalid-request', told);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: something between here and the gateway answered in its stead.
    return undefined;
  }
}
