#!/usr/bin/env node
// Runs a file of this checkout on the Node that skein runs on: `node scripts/node.js FILE [ARGS]`.
// The npm scripts go through it, so that any Node >= 20 can call them.
import { become, explainMissingNode, suitableNode } from '../node/launcher.js';

const binary = suitableNode();
if (binary === undefined) {
  process.stderr.write(`${explainMissingNode()}\n`);
  process.exit(125);
}
become(binary, process.argv.slice(2));
