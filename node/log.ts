// How the rooms speak to whoever runs the node. main.ts hands in one that writes; tests one that collects.

export interface Log {
  debug(fields: object, sentence: string): void;
  info(fields: object, sentence: string): void;
  warn(fields: object, sentence: string): void;
  error(fields: object, sentence: string): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
