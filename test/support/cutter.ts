// A relay between a client and a server that cuts connections when a test says so.
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Cutter {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: number;
  /** Cuts a connection once it has carried this many bytes in the direction; then the limit is gone. */
  cutUpAfter = Number.POSITIVE_INFINITY;
  cutDownAfter = Number.POSITIVE_INFINITY;
  cuts = 0;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((near) => this.#relay(near));
  }

  static async to(port: number): Promise<Cutter> {
    const cutter = new Cutter(port);
    await new Promise<void>((resolve) => cutter.#server.listen(0, '127.0.0.1', resolve));
    return cutter;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cutNow(): void {
    this.cuts++;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(near: Socket): void {
    const far = connect(this.#port, '127.0.0.1');
    let up = 0;
    let down = 0;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
    near.on('data', (chunk: Buffer) => {
      far.write(chunk);
      up += chunk.length;
      if (up < this.cutUpAfter) return;
      this.cutUpAfter = Number.POSITIVE_INFINITY;
      this.#cut(near, far);
    });
    far.on('data', (chunk: Buffer) => {
      near.write(chunk);
      down += chunk.length;
      if (down < this.cutDownAfter) return;
      this.cutDownAfter = Number.POSITIVE_INFINITY;
      this.#cut(near, far);
    });
  }

  /** What was passed on still arrives. */
  #cut(near: Socket, far: Socket): void {
    this.cuts++;
    near.end();
    far.end();
  }
}
