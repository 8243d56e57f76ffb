// The process behind the mesh `local`: `node local-node.ts FOLDER`, its ready line on descriptor 3.
import { availableParallelism, hostname } from 'node:os';
import { SkeinError } from '../protocol/errors.ts';
import { startNode } from './main.ts';

const READY_FD = 3;
const folder = process.argv[2];

if (folder === undefined) {
  process.stderr.write('usage: local-node FOLDER\n');
  process.exitCode = 2;
} else {
  try {
    const loopback = { host: '127.0.0.1', port: 0, explicit: false };
    const node = await startNode({
      dataFolder: folder,
      meshName: 'local',
      http: loopback,
      listen: loopback,
      announce: [],
      roles: undefined,
      slots: availableParallelism(),
      slotsExplicit: false,
      name: hostname() || 'local',
      nameExplicit: false,
      ticket: undefined,
      tls: undefined,
      insecureHttp: false,
      readyFd: READY_FD,
      drainDeadlineMs: 5_000,
      embedded: true,
    });
    process.exitCode = await node.ended;
    process.exit();
  } catch (error) {
    const code = error instanceof SkeinError ? error.code : 'internal-error';
    process.stderr.write(`${code}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
