// `skein undrain PEER`: it works again.
import type { Command } from '../call.ts';
import { setDraining } from '../set-draining.ts';

export const command: Command = (call) => setDraining(call, false);
