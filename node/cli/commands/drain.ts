// `skein drain PEER`: it finishes what it runs and takes no more; it stays a member.
import type { Command } from '../call.ts';
import { setDraining } from '../set-draining.ts';

export const command: Command = (call) => setDraining(call, true);
